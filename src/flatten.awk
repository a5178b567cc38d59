# flatten.awk: one self-contained source out of a unit and its parts.
# awk -v up=PREFIX -f src/flatten.awk FILE: what stands in src/ is put in place
# of the #include that names it, once; lssb.h and the contracts in port/ stay
# files of their own, named with PREFIX before them.
# SPDX-License-Identifier: MIT

# A path without "x/.." and "./" in it.
function clean(path)
{
    while (sub(/[^\/]+\/\.\.\//, "", path))
        ;
    gsub(/\.\//, "", path)
    return path
}

function folder(path)
{
    return match(path, /.*\//) ? substr(path, 1, RLENGTH) : ""
}

function expand(path,    line, name)
{
    if (path in seen)
        return
    seen[path] = 1
    while ((getline line < path) > 0) {
        if (line !~ /^#include "/) {
            print line
            continue
        }
        split(line, name, "\"")
        include(clean(folder(path) name[2]))
    }
    close(path)
}

function include(path)
{
    if (path == "lssb.h" || path == "port/port.h" || path == "port/tls.h") {
        if (!(path in seen))
            print "#include \"" up path "\""
        seen[path] = 1
        return
    }
    expand(path)
}

BEGIN {
    expand(clean(ARGV[1]))
}
