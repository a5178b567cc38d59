// A test harness in a page: tests run one after another, each with a sentence
// for a name; the last line says how many passed and failed.
//
// SPDX-License-Identifier: MIT

import assert from "node:assert/strict";

let passed = 0;
let failed = 0;

// Runs one test; it fails when it throws, or after a minute.
export async function test(sentence, body) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error("no end after 60 s")), 60000);
    });
    try {
        await Promise.race([body(), late]);
        passed++;
    } catch (e) {
        failed++;
        console.log(`FAILED ${sentence}\n  ${e?.stack ?? e}`);
    } finally {
        clearTimeout(timer);
    }
}

// The call must fail with exactly this class (no derived one) and have these
// members; a regular expression is matched, anything else compared.
export async function fails(Kind, members, call) {
    const error = await Promise.resolve().then(call).then(
        () => assert.fail(`${Kind.name} was expected, and nothing failed`),
        (e) => e,
    );
    assert.equal(error.constructor.name, Kind.name,
        `${error.constructor.name}: ${error.message}`);
    for (const [name, value] of Object.entries(members))
        if (value instanceof RegExp)
            assert.match(String(error[name]), value);
        else
            assert.deepEqual(error[name], value, `${name} of ${error}`);
}

// The result of a command has these members, as above. Long ones are cut in
// the message.
export function like(result, members) {
    for (const [name, value] of Object.entries(members))
        if (value instanceof RegExp)
            assert.match(result[name], value);
        else
            assert.ok(result[name] === value,
                `${name}: ${JSON.stringify(result[name]).slice(0, 200)}`);
}

// The closing line and the exit status.
export function finish() {
    console.log(`${passed} passed, ${failed} failed`);
    process.exit(failed ? 1 : 0);
}
