# shellcheck shell=bash
#
# Shared by the commands in this directory; sourced, never run.
#
# A command that builds or starts servers works in an area of its own,
# /tmp/webhook_bridge.XXXXXX: a copy of the tree, an installation of PostgreSQL
# copied together with the extension, data directories, sockets, logs.  Nothing
# is installed into the system or written into the checkout.  PostgreSQL
# refuses to run as root, so root goes on there as "nobody".  When the command
# ends, for whatever reason, what runs in the area is stopped and the area is
# removed.

WB_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The oldest PostgreSQL that is supported.
WB_OLDEST_MAJOR=15

# A caller's settings must not reach our servers, clients and builds.
for wb_variable in ${!PG@}; do
    [[ $wb_variable == PG_CONFIG ]] || unset "$wb_variable"
done
unset wb_variable "${!LC_@}" LANGUAGE MAKEFLAGS MFLAGS MAKELEVEL CDPATH
# PostgreSQL's test modules drop LC_ALL; their clusters shall be UTF8 as ours.
export LC_ALL=C LANG=C.UTF-8 PGCLIENTENCODING=UTF8 PATH="$PATH:/usr/sbin:/sbin"

# Set once a reader knows why the command fails.
WB_EXPLAINED=

die() {
    WB_EXPLAINED=1
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

heading() {
    printf '\n== %s\n' "$*"
}

# ---------------------------------------------------------------------------
# PostgreSQL's installation
# ---------------------------------------------------------------------------

# Is this the pg_config of a server that extensions can be built for?
usable_pg_config() {
    local version
    version=$("$1" --version 2>/dev/null) || return 1
    version=${version#PostgreSQL }
    ((${version%%[!0-9]*} >= WB_OLDEST_MAJOR)) &&
        [[ -e $("$1" --pgxs) && -x $("$1" --bindir)/postgres && -x $("$1" --bindir)/initdb ]]
}

# Prints the pg_config to use: the caller's $PG_CONFIG, else the one in PATH,
# else the newest of Debian's.  Fails if there is none.
find_pg_config() {
    local candidate
    if [[ -n ${PG_CONFIG:-} ]]; then
        usable_pg_config "$PG_CONFIG" || die "PG_CONFIG=$PG_CONFIG is not the pg_config of PostgreSQL $WB_OLDEST_MAJOR or newer with server and development files"
        command -v "$PG_CONFIG"
        return
    fi
    while read -r candidate; do
        if usable_pg_config "$candidate"; then
            echo "$candidate"
            return
        fi
    done < <(
        command -v pg_config
        compgen -G '/usr/lib/postgresql/*/bin/pg_config' | sort -V -r
    )
    return 1
}

# clang_of_postgres PG_CONFIG: the clang that this PostgreSQL makes bitcode with.
clang_of_postgres() {
    sed -n 's/^CLANG *= *//p' "$(dirname "$("$1" --pgxs)")/../Makefile.global"
}

# fuzz_clang PG_CONFIG: the clang that fuzz targets are built with, the same if
# there is one.
fuzz_clang() {
    local clang
    clang=$(clang_of_postgres "$1")
    type -P "${clang:-clang}" || type -P clang
}

# ---------------------------------------------------------------------------
# The work area
# ---------------------------------------------------------------------------

in_work_area() {
    [[ $WB_ROOT == "${WB_WORK:-}/tree" ]]
}

# Makes a work area and starts this command again in it, with the arguments
# given.  Does not return, except in the work area, where it prepares the rest.
enter_work_area() {
    if in_work_area; then
        trap 'WB_EXPLAINED=1; exit 130' INT
        trap 'WB_EXPLAINED=1; exit 143' HUP TERM
        trap leave_work_area EXIT
        return
    fi

    PG_CONFIG=$(find_pg_config)
    WB_WORK=$(mktemp -d /tmp/webhook_bridge.XXXXXX)
    trap 'rm -rf "$WB_WORK"' EXIT
    mkdir "$WB_WORK/tree" "$WB_WORK/tmp"
    copy_tree "$WB_WORK/tree"
    export WB_WORK PG_CONFIG HOME="$WB_WORK/tmp" TMPDIR="$WB_WORK/tmp"

    local run=()
    if ((EUID == 0)); then
        chown -R "nobody:$(id -g nobody)" "$WB_WORK"
        if command -v setpriv >/dev/null; then
            run=(setpriv --reuid "$(id -u nobody)" --regid "$(id -g nobody)" --clear-groups --)
        else
            run=(runuser -u nobody --)
        fi
    fi
    cd "$WB_WORK/tree" || exit
    exec "${run[@]}" bash "script/$(basename "$0")" "$@"
}

# The files that git knows or would add; without git all but what is built.
# Installed npm packages are neither, but the tests need them.
copy_tree() {
    local list=$1/.files packages
    if ! tree_files >"$list" 2>/dev/null || [[ ! -s $list ]]; then
        (cd "$WB_ROOT" && find . \( -name .git -o -name node_modules -o -path ./build -o -name '*.o' \
            -o -name '*.bc' -o -name '*.so' \) -prune -o \( -type f -o -type l \) -print0) >"$list"
    fi
    tar -C "$WB_ROOT" -c --null --no-recursion -T "$list" | tar -C "$1" -x --no-same-owner
    rm "$list"
    for packages in test/vendor test/bench; do
        if [[ -d $WB_ROOT/$packages/node_modules ]]; then
            cp -R "$WB_ROOT/$packages/node_modules" "$1/$packages/"
        fi
    done
}

# Lists files with a zero byte after each.  Who owns the checkout is no matter.
tree_files() {
    local file
    git -C "$WB_ROOT" -c safe.directory="$WB_ROOT" ls-files -coz --exclude-standard |
        while IFS= read -r -d '' file; do
            if [[ -e $WB_ROOT/$file || -L $WB_ROOT/$file ]]; then
                printf '%s\0' "$file"
            fi
        done
}

# Stops everything that was started in the work area and removes it.  A test
# that was interrupted can leave servers behind; their data directories are in
# the area, and so they are found.
leave_work_area() {
    local status=$? pid_file
    trap '' HUP INT TERM
    trap - EXIT
    set +e
    if ((status != 0)) && [[ -z $WB_EXPLAINED ]]; then
        echo "$(basename "$0"): a command failed with status $status" >&2
    fi
    if [[ -n ${WB_JOB:-} ]]; then
        kill -TERM -- "-$WB_JOB" 2>/dev/null
        wait "$WB_JOB" 2>/dev/null
    fi
    while IFS= read -r -d '' pid_file; do
        stop_server "$(dirname "$pid_file")" 2>/dev/null
    done < <(find "$WB_WORK" -name postmaster.pid -print0 2>/dev/null)
    cd /
    rm -rf "$WB_WORK"
    exit "$status"
}

# run LOG COMMAND...: runs a command, its output shown and kept in LOG.  It is
# a process group of its own in the background, so that a signal reaches this
# script at once and leave_work_area can end all of it.
run() {
    local log=$1 status=0
    shift
    set -m
    {
        "$@" </dev/null 2>&1 | tee "$log"
    } &
    WB_JOB=$!
    set +m
    wait "$WB_JOB" || status=$?
    WB_JOB=
    return "$status"
}

# ---------------------------------------------------------------------------
# Building and installing in the work area
# ---------------------------------------------------------------------------

make_in_tree() {
    make -C "$WB_WORK/tree" -s --no-print-directory PG_CONFIG="$PG_CONFIG" "$@"
}

build() {
    make_in_tree -j "$(nproc)" all
}

# A server finds its files relative to its own binary, so copied programs,
# libraries and data, with the extension installed over them, are complete.
# Sets WB_BIN.
install_privately() {
    local target=$WB_WORK/install bin lib share
    bin=$("$PG_CONFIG" --bindir)
    lib=$("$PG_CONFIG" --pkglibdir)
    share=$("$PG_CONFIG" --sharedir)
    mkdir -p "$target$bin" "$target$lib" "$target$share"
    cp -L "$bin"/{postgres,initdb,psql,pgbench,createdb,dropdb,createuser,dropuser,vacuumdb} "$bin"/pg_* "$target$bin"
    cp -L "$lib"/*.so "$target$lib"
    # what compiles expressions, where PostgreSQL was built with it
    [[ ! -e $lib/llvmjit_types.bc ]] || cp -L "$lib/llvmjit_types.bc" "$target$lib"
    cp -RL "$share"/. "$target$share"
    make_in_tree install DESTDIR="$target" >/dev/null
    WB_BIN=$target$bin
}

# with_test_modules COMMAND...: runs it with the Perl modules of PostgreSQL's
# tests and ours.  Their servers are their own business.
with_test_modules() {
    local pgxs
    pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
    mkdir -p "$WB_WORK/tap"
    env -u PGHOST -u PGUSER TESTDIR="$WB_WORK/tap" PATH="$WB_BIN:$PATH" \
        PG_REGRESS="$pgxs/src/test/regress/pg_regress" PERL5LIB="$pgxs/src/test/perl:$WB_WORK/tree/test/perl" "$@"
}

# ---------------------------------------------------------------------------
# Servers
# ---------------------------------------------------------------------------

# Does something on this machine listen on the port?
port_answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Prints a port that nothing listens on, below those the system gives out.
free_port() {
    local port
    while true; do
        port=$((20000 + RANDOM % 10000))
        port_answers "$port" || break
    done
    echo "$port"
}

# wait_until SECONDS COMMAND...: tries until the command succeeds.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# start_server DATA: makes a cluster in the directory DATA with the settings on
# standard input and starts it, its log in DATA.log.  It listens on a socket in
# the work area only.  Sets PGHOST and PGUSER, so that clients find it.
start_server() {
    local data=$1
    export PGHOST=$WB_WORK/socket PGUSER=postgres
    mkdir -p "$PGHOST"
    "$WB_BIN/initdb" -D "$data" -A trust -U "$PGUSER" -E UTF8 --no-locale --no-sync >/dev/null
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$PGHOST'"
        cat
    } >>"$data/postgresql.conf"
    if ! "$WB_BIN/pg_ctl" -D "$data" -l "$data.log" -s -w start; then
        tail -n 20 "$data.log" >&2
        die "the server did not start"
    fi
}

# stop_server DATA: returns when the server is gone.
stop_server() {
    local pid
    read -r pid <"$1/postmaster.pid"
    kill -INT "$pid"
    wait_until 10 server_is_gone "$1" "$pid" || kill -QUIT "$pid"
    wait_until 10 server_is_gone "$1" "$pid"
}

# A server removes its file when it ends; one that was killed could not.
server_is_gone() {
    [[ ! -e $1/postmaster.pid ]] || ! kill -0 "$2" 2>/dev/null
}
