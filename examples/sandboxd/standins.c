/* standins.c: what stands for BuildKit and Docker in a box (PROTOCOL 2.10).
 *
 * SPDX-License-Identifier: MIT
 *
 * One script under three names in /run/sandboxd, which comes first in PATH. It
 * understands FROM, RUN, COPY, ADD, ENV, ARG, WORKDIR and USER, stages and
 * build arguments, and runs a Dockerfile in place: the box becomes what its
 * image would be, and the image is a file that says how it is to be run, which
 * a capture of that image reads. Where commands see the host's files there is
 * none: a Dockerfile would change the host.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "control.h"

static const char *const standin_script[] = {
    "#!/bin/bash\n",
    "# Stand-ins of sandboxd for buildkitd, buildctl and docker: enough to"
    " build a\n",
    "# snapshot from a small Dockerfile. The build happens in place: what"
    " RUN and\n",
    "# COPY make is the sandbox's own, and an image is a name and a"
    " configuration.\n",
    "set -u\n",
    "images=/var/lib/docker/sandboxd\n",
    "\n",
    "fail() { echo \"error: $*\" >&2; exit 1; }\n",
    "key() { printf %s \"$1\" | sha256sum | cut -c1-64; }\n",
    "\n",
    "# value NAME: of a variable of the Dockerfile.\n",
    "value() { local v=${env[$1]-${args[$1]-}}; printf %s \"$v\"; }\n",
    "\n",
    "# words TEXT: splits it as a shell would, with $NAME, ${NAME},"
    " ${NAME:-WORD},\n",
    "# ${NAME:+WORD}; the result is in the array `word`.\n",
    "words() {\n",
    "    local text=$1 now= have= quote= c n\n",
    "    word=()\n",
    "    while [ -n \"$text\" ]; do\n",
    "        c=${text:0:1} text=${text:1}\n",
    "        case $quote$c in\n",
    "        \"'\"[!\\']) now+=$c ;;\n",
    "        \"''\"|'\"\"') quote= ;;\n",
    "        \"'\"|'\"') quote=$c have=1 ;;\n",
    "        '\"\\') now+=${text:0:1} text=${text:1} ;;\n",
    "        '\\') now+=${text:0:1} text=${text:1} have=1 ;;\n",
    "        '$'|'\"$')\n",
    "            have=1\n",
    "            if [[ $text =~"
    " ^\\{([A-Za-z_][A-Za-z0-9_]*)(:([-+])([^}]*))?\\} ]]; then\n",
    "                n=$(value \"${BASH_REMATCH[1]}\")\n",
    "                case ${BASH_REMATCH[3]} in\n",
    "                -) n=${n:-${BASH_REMATCH[4]}} ;;\n",
    "                +) n=${n:+${BASH_REMATCH[4]}} ;;\n",
    "                esac\n",
    "            elif [[ $text =~ ^([A-Za-z_][A-Za-z0-9_]*) ]]; then\n",
    "                n=$(value \"${BASH_REMATCH[1]}\")\n",
    "            else\n",
    "                now+='$'\n",
    "                continue\n",
    "            fi\n",
    "            text=${text:${#BASH_REMATCH[0]}} now+=$n ;;\n",
    "        [[:space:]])\n",
    "            [ -n \"$now$have\" ] && word+=(\"$now\")\n",
    "            now= have= ;;\n",
    "        *) now+=$c have=1 ;;\n",
    "        esac\n",
    "    done\n",
    "    [ -z \"$quote\" ] || fail \"a quote is not closed: $1\"\n",
    "    [ -n \"$now$have\" ] && word+=(\"$now\")\n",
    "    return 0\n",
    "}\n",
    "\n",
    "# json TEXT: [\"a\",\"b\"] into `word`; false when it is none.\n",
    "json() {\n",
    "    local text=$1 re='^[[:space:]]*\"(([^\"\\\\]|\\\\.)*)\"[[:space:]]"
    "*(,|$)'\n",
    "    word=()\n",
    "    [[ $text =~ ^\\[(.*)\\][[:space:]]*$ ]] || return 1\n",
    "    text=${BASH_REMATCH[1]}\n",
    "    while [[ $text =~ $re ]]; do\n",
    "        word+=(\"$(printf %b \"${BASH_REMATCH[1]//\\\\\\\"/\\\"}\")\")\n",
    "        text=${text:${#BASH_REMATCH[0]}}\n",
    "    done\n",
    "    [[ $text =~ ^[[:space:]]*$ ]]\n",
    "}\n",
    "\n",
    "# as COMMAND...: in the directory, with the environment, as the user.\n",
    "as() {\n",
    "    local pairs=() n id=()\n",
    "    for n in \"${!args[@]}\"; do pairs+=(\"$n=${args[$n]}\"); done\n",
    "    for n in \"${!env[@]}\"; do pairs+=(\"$n=${env[$n]}\"); done\n",
    "    if [ -n \"$user\" ] && [ \"$user\" != root ] && [ \"$user\" != 0"
    " ]; then\n",
    "        n=${user#*:}\n",
    "        [ \"$n\" != \"$user\" ] || n=$(id -g \"$user\" 2>/dev/null ||"
    " echo \"$user\")\n",
    "        id=(setpriv \"--reuid=${user%%:*}\" \"--regid=$n\""
    " --clear-groups)\n",
    "    fi\n",
    "    (cd \"$dir\" && exec env \"${pairs[@]}\" \"${id[@]}\" \"$@\")"
    " </dev/null >&2\n",
    "}\n",
    "\n",
    "do_from() {\n",
    "    words \"$1\"\n",
    "    env=() args=() user= dir=/\n",
    "    stage=\n",
    "    for n in \"${!before[@]}\"; do [ \"$n\" = \"${word[0]}\" ] ||"
    " continue\n",
    "        eval \"${before[$n]}\"; done\n",
    "    [ \"${#word[@]}\" -ge 3 ] && [ \"${word[1],,}\" = as ] &&"
    " stage=${word[2]}\n",
    "    return 0\n",
    "}\n",
    "\n",
    "do_run() {\n",
    "    if json \"$1\"; then as \"${word[@]}\"; else as /bin/sh -c"
    " \"$1\"; fi\n",
    "}\n",
    "\n",
    "do_copy() {\n",
    "    local from=$context owner= to n\n",
    "    json \"$1\" || words \"$1\"\n",
    "    while [[ ${word[0]-} == --* ]]; do\n",
    "        case ${word[0]} in\n",
    "        --from=*) from=/ ;;\n",
    "        --chown=*) owner=${word[0]#*=} ;;\n",
    "        esac\n",
    "        word=(\"${word[@]:1}\")\n",
    "    done\n",
    "    [ \"${#word[@]}\" -ge 2 ] || fail \"COPY needs a source and a"
    " destination\"\n",
    "    to=${word[-1]}\n",
    "    [[ $to == /* ]] || to=$dir/$to\n",
    "    if [ \"${#word[@]}\" -gt 2 ] || [[ $to == */ ]]; then mkdir -p"
    " \"$to\"; fi\n",
    "    unset 'word[-1]'\n",
    "    for n in \"${word[@]}\"; do copy_one \"$from\" \"$n\" \"$to\""
    " \"$owner\" || return; done\n",
    "}\n",
    "\n",
    "# copy_one FROM PATTERN TO OWNER\n",
    "copy_one() {\n",
    "    local found=() n\n",
    "    [[ /$2/ != */../* ]] || fail \"COPY $2 leads out of the context\"\n",
    "    while IFS= read -r -d '' n; do\n",
    "        if [ -e \"$n\" ] || [ -L \"$n\" ]; then found+=(\"$n\"); fi\n",
    "    done < <(\n",
    "        shopt -s nullglob dotglob; IFS=\n",
    "        if [ -e \"$1/$2\" ]; then printf '%s\\0' \"$1/$2\"; else\n",
    "            for n in \"$1\"/$2; do printf '%s\\0' \"$n\"; done; fi)\n",
    "    [ \"${#found[@]}\" -gt 0 ] || { echo \"COPY $2: not found\" >&2;"
    " return 1; }\n",
    "    [ \"${#found[@]}\" -eq 1 ] || mkdir -p \"$3\"\n",
    "    for n in \"${found[@]}\"; do\n",
    "        if [ -d \"$n\" ]; then\n",
    "            mkdir -p \"$3\" && cp -a -- \"$n/.\" \"$3/\" || return\n",
    "        else\n",
    "            mkdir -p \"$(dirname \"$3\")\" && cp -a -- \"$n\" \"$3\""
    " || return\n",
    "        fi\n",
    "        [ -z \"$4\" ] || chown -R \"$4\" \"$3\" || return\n",
    "    done\n",
    "}\n",
    "\n",
    "do_env() {\n",
    "    local n\n",
    "    words \"$1\"\n",
    "    if [[ ${word[0]} != *=* ]]; then\n",
    "        n=${word[0]}\n",
    "        words \"${1#\"$n\"}\"\n",
    "        env[$n]=\"${word[*]}\"\n",
    "        return\n",
    "    fi\n",
    "    for n in \"${word[@]}\"; do env[${n%%=*}]=${n#*=}; done\n",
    "}\n",
    "\n",
    "do_arg() {\n",
    "    local n\n",
    "    words \"$1\"\n",
    "    for n in \"${word[@]}\"; do\n",
    "        if [ -n \"${given[${n%%=*}]+x}\" ]; then\n",
    "            args[${n%%=*}]=${given[${n%%=*}]}\n",
    "        elif [[ $n == *=* ]]; then\n",
    "            args[${n%%=*}]=${n#*=}\n",
    "        fi\n",
    "    done\n",
    "}\n",
    "\n",
    "do_workdir() {\n",
    "    words \"$1\"\n",
    "    case ${word[0]} in /*) dir=${word[0]} ;; *)"
    " dir=${dir%/}/${word[0]} ;; esac\n",
    "    mkdir -p \"$dir\"\n",
    "}\n",
    "\n",
    "# step KEYWORD REST\n",
    "step() {\n",
    "    echo \"#$((++steps)) $1 $2\" >&2\n",
    "    case ${1^^} in\n",
    "    FROM) [ -z \"$stage\" ] || before[$stage]=\"$(declare -p env user"
    " dir |\n",
    "            sed 's/^declare -A env/env/;s/^declare -- //')\"\n",
    "        do_from \"$2\" ;;\n",
    "    RUN) do_run \"$2\" ;;\n",
    "    COPY|ADD) do_copy \"$2\" ;;\n",
    "    ENV) do_env \"$2\" ;;\n",
    "    ARG) do_arg \"$2\" ;;\n",
    "    WORKDIR) do_workdir \"$2\" ;;\n",
    "    USER) words \"$2\"; user=${word[0]} ;;\n",
    "    CMD|ENTRYPOINT|LABEL|EXPOSE|VOLUME|MAINTAINER|STOPSIGNAL|HEALTHCHE"
    "CK|SHELL) ;;\n",
    "    *) fail \"sandboxd's stand-in does not know $1\" ;;\n",
    "    esac || fail \"$1 $2: failed with status $?\"\n",
    "}\n",
    "\n",
    "# instructions FILE: one a line, without comments and continuations.\n",
    "instructions() {\n",
    "    awk '/^[[:space:]]*#/ { next } { sub(/\\r$/, \"\") }\n",
    "        /\\\\[[:space:]]*$/ { sub(/\\\\[[:space:]]*$/, \"\"); text ="
    " text $0 \" \"; next }\n",
    "        { text = text $0; if (text ~ /[^[:space:]]/) print text; text"
    " = \"\" }\n",
    "        END { if (text ~ /[^[:space:]]/) print text }' \"$1\"\n",
    "}\n",
    "\n",
    "build() {\n",
    "    declare -A env=() args=() given=() before=()\n",
    "    local context= files= file=Dockerfile target= image= user= dir=/"
    " stage=\n",
    "    local steps=0 line n k done=\n",
    "    while [ $# -gt 0 ]; do\n",
    "        case $1 in\n",
    "        --local|--opt|--output|--frontend) n=$2; shift ;;\n",
    "        *) n= ;;\n",
    "        esac\n",
    "        case $n in\n",
    "        context=*) context=${n#*=} ;;\n",
    "        dockerfile=*) files=${n#*=} ;;\n",
    "        filename=*) file=${n#*=} ;;\n",
    "        target=*) target=${n#*=} ;;\n",
    "        build-arg:*) n=${n#*:} given[${n%%=*}]=${n#*=} ;;\n",
    "        type=docker,name=*) image=${n#type=docker,name=} ;;\n",
    "        esac\n",
    "        shift\n",
    "    done\n",
    "    [ -d \"$context\" ] || fail \"there is no context\"\n",
    "    [ -f \"$files/$file\" ] || fail \"there is no $file\"\n",
    "    [ -n \"$image\" ] || fail \"the image has no name\"\n",
    "    while IFS= read -r line; do\n",
    "        line=${line#\"${line%%[![:space:]]*}\"}\n",
    "        k=${line%%[[:space:]]*} n=${line#\"$k\"}\n",
    "        n=${n#\"${n%%[![:space:]]*}\"}\n",
    "        if [ \"${k^^}\" = FROM ] && [ -n \"$target\" ] && ["
    " \"$stage\" = \"$target\" ]; then\n",
    "            done=1\n",
    "            break\n",
    "        fi\n",
    "        step \"$k\" \"$n\"\n",
    "    done < <(instructions \"$files/$file\")\n",
    "    [ \"$steps\" -gt 0 ] || fail \"the Dockerfile is empty\"\n",
    "    [ -z \"$target\" ] || [ \"$stage\" = \"$target\" ] || fail"
    " \"there is no stage $target\"\n",
    "    echo \"sandboxd-image $image\"\n",
    "    [ -z \"$user\" ] || echo \"USER $user\"\n",
    "    echo \"WORKDIR $dir\"\n",
    "    for n in \"${!env[@]}\"; do echo \"ENV $n=${env[$n]}\"; done\n",
    "}\n",
    "\n",
    "case ${0##*/} in\n",
    "buildkitd)\n",
    "    while [ $# -gt 0 ] && [ \"$1\" != --addr ]; do shift; done\n",
    "    socket=${2#unix://}\n",
    "    echo $$ >\"$socket\" || fail \"$socket cannot be made\"\n",
    "    echo \"running server on $socket\" >&2\n",
    "    exec sleep 2147483647 ;;\n",
    "buildctl)\n",
    "    [ \"$1\" = --addr ] && { socket=${2#unix://}; shift 2; }\n",
    "    kill -0 \"$(cat \"$socket\" 2>/dev/null)\" 2>/dev/null ||\n",
    "        fail \"nothing listens on $socket\"\n",
    "    case $1 in\n",
    "    debug) echo \"ID PLATFORMS\"; echo \"sandboxd linux\" ;;\n",
    "    build) shift; build \"$@\" ;;\n",
    "    *) fail \"sandboxd's stand-in does not know $1\" ;;\n",
    "    esac ;;\n",
    "docker)\n",
    "    case ${1-} in\n",
    "    info) echo \"Server Version: a stand-in of sandboxd\" ;;\n",
    "    load)\n",
    "        IFS=' ' read -r magic name && [ \"$magic\" = sandboxd-image ]"
    " ||\n",
    "            fail \"no image came\"\n",
    "        mkdir -p \"$images\" && cat >\"$images/$(key \"$name\")\" &&\n",
    "            echo \"Loaded image: $name\" ;;\n",
    "    *) fail \"sandboxd's stand-in does not know docker ${1-}\" ;;\n",
    "    esac ;;\n",
    "esac\n",
};

/* Writes the script at a path of the box; false: it cannot. */
static bool standin_write(const struct box *box, const char *path,
                          const struct bytes *script)
{
    struct place place;
    bool fine;
    int fd;

    if (!path_find(box, path, true, &place))
        return false;
    unlinkat(place.dir, place.name, 0);
    fd = place.host ? -1
                    : openat(place.dir, place.name,
                             O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    place_close(&place);
    fine = fd >= 0 &&
           write(fd, script->at, script->len) == (ssize_t)script->len;
    if (fd >= 0)
        close(fd);
    return fine;
}

/* Puts them into a box whose commands have a view of their own. */
bool standins_place(const struct box *box)
{
    struct bytes script = {0};
    bool fine;
    size_t i;

    if (!box->d->view)
        return true;
    for (i = 0; i < sizeof standin_script / sizeof standin_script[0]; i++)
        bytes_add_string(&script, standin_script[i]);
    fine = standin_write(box, "/run/sandboxd/buildkitd", &script) &&
           standin_write(box, "/run/sandboxd/buildctl", &script) &&
           standin_write(box, "/run/sandboxd/docker", &script);
    bytes_free(&script);
    return fine;
}
