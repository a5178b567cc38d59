// Commands and what they come to, whichever way they are run.
//
// SPDX-License-Identifier: MIT

export const commands = [
    // sentence, command, options, what the result must have
    ["standard output", "echo hello", {}, { stdout: "hello\n", stderr: "", exit_code: 0 }],
    ["standard error is apart", "echo out; echo err >&2", {}, { stdout: "out\n", stderr: "err\n", exit_code: 0 }],
    ["an exit code", "exit 42", {}, { exit_code: 42 }],
    ["the highest exit code", "exit 255", {}, { exit_code: 255 }],
    ["a signal", "kill -9 $$", {}, { exit_code: 137 }],
    ["a command that is not there", "no-such-command-here", {}, { exit_code: 127 }],
    ["no output", "true", {}, { stdout: "", stderr: "", exit_code: 0 }],
    ["no newline at the end", "printf abc", {}, { stdout: "abc" }],
    ["UTF-8", "printf 'ä€😀'", {}, { stdout: "ä€😀" }],
    ["characters that JSON escapes", "printf '\\001\\t\"\\\\\\r\\n'", {}, { stdout: "\x01\t\"\\\r\n" }],
    ["a NUL", "printf 'a\\0b'", {}, { stdout: "a\0b" }],
    ["bytes that are no UTF-8", "printf 'a\\377b'", {}, { stdout: "a\ufffdb" }],
    ["several lines", "for i in 1 2 3; do echo $i; done", {}, { stdout: "1\n2\n3\n" }],
    ["variables", 'printf "%s" "$X|$Y"', { env: { X: "ä \"'$", Y: "" } }, { stdout: "ä \"'$|" }],
    ["a variable over the sandbox's", "echo $LEVEL $ONLY", { env: { LEVEL: "command" } }, { stdout: "command box\n" }],
    ["a directory", "pwd", { cwd: "/tmp" }, { stdout: /\/tmp\n$/ }],
    ["another shell", "echo $0", { shell: "/bin/sh" }, { stdout: /sh\n$/ }],
    ["run_config's variables", "echo $LEVEL $ONLY", { runConfig: { env_vars: { LEVEL: "run" } } }, { stdout: "run box\n" }],
    ["run_config's directory", "pwd", { runConfig: { work_dir: "/tmp" } }, { stdout: /\/tmp\n$/ }],
    ["an empty stdin", "cat; echo end", {}, { stdout: "end\n", exit_code: 0 }],
    ["2 MiB of output", "head -c 2097152 /dev/zero | tr '\\0' x", {}, { stdout: "x".repeat(2 ** 21) }],
];
