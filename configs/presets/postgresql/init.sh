#!/bin/bash
# Makes a PostgreSQL cluster in $PGDATA, as the official image does for an empty directory, then becomes its arguments:
#
#   init.sh <postgres> -D <directory> --config-file=<file> [arguments of the container]
#
# It may be killed at any moment and started again. Everything is made in $PGDATA/.barepod-init; only when that is complete
# and on disk is it moved up. PG_VERSION comes last of all, and its presence says that there is a cluster:
#
#   nothing, or .barepod-init without `moving`   begin anew: no client ever saw what is there
#   .barepod-init/moving                         complete: move the rest up
#   .barepod-version                             all moved: remove .barepod-init, then call it PG_VERSION
set -Eeuo pipefail

readonly target=$PGDATA
readonly work=$target/.barepod-init
readonly data=$work/data
readonly moving=$work/moving
readonly version=$target/.barepod-version
readonly scripts=/docker-entrypoint-initdb.d

say() { printf 'barepod: %s\n' "$*"; }

die() {
    printf 'barepod: %s\n' "$*" >&2
    exit 1
}

# Gives the variable $1 the contents of the file that $1_FILE names, else the value $2.
from_file() {
    local name=$1 file_name=$1_FILE
    local value=${!name:-} file=${!file_name:-}
    if [[ -n $value && -n $file ]]; then
        die "$name and $file_name exclude each other"
    elif [[ -n $file ]]; then
        value=$(<"$file") || die "$file_name: $file cannot be read"
    fi
    export "$name=${value:-${2:-}}"
    unset "$file_name"
}

settings() {
    from_file POSTGRES_PASSWORD
    from_file POSTGRES_USER postgres
    from_file POSTGRES_DB "$POSTGRES_USER"
    from_file POSTGRES_INITDB_ARGS
    if [[ -z $POSTGRES_PASSWORD && ${POSTGRES_HOST_AUTH_METHOD:-} != trust ]]; then
        die 'POSTGRES_PASSWORD is empty, so nobody could log in'
    fi
}

# What is in $target belongs to somebody unless this script made it.
refuse_strangers() {
    local entry
    for entry in "$target"/* "$target"/.[!.]*; do
        case ${entry##*/} in
            lost+found | .barepod-init | '*' | '.[!.]*') ;;
            *) die "$target holds ${entry##*/} but no database cluster; give PGDATA an empty directory" ;;
        esac
    done
}

# Clears what an interrupted run left. The log directory is cleared only if that run found it empty.
begin_anew() {
    local log=${POSTGRES_INITDB_WALDIR:-}
    if [[ -n $log && -e $work/log-is-ours ]]; then
        find "$log" -mindepth 1 ! -name lost+found -delete
    fi
    rm -rf "$work"
    mkdir -m 0700 "$work"
    if [[ -n $log ]]; then
        mkdir -p "$log"
        chmod 0700 "$log"
        [[ -z $(ls -A "$log") ]] || die "POSTGRES_INITDB_WALDIR: $log is not empty"
        : >"$work/log-is-ours"
        sync "$work/log-is-ours" "$work"
    fi
}

# The image's locale where the host has it, else the one that every host has.
locale_of_new_cluster() {
    if [[ -n ${LC_ALL:-}${LANG:-} ]]; then
        return
    elif locale -a 2>/dev/null | grep -qix 'en_US\.utf-\?8'; then
        export LANG=en_US.UTF-8
    else
        export LANG=C.UTF-8
        say "this host has no locale en_US.UTF-8: the cluster is made with $LANG"
    fi
}

make_cluster() {
    local arguments=() options=(--pgdata="$data" --username="$POSTGRES_USER" --data-checksums --no-sync)
    # The image lets a shell take these apart, so quotes count.
    eval "arguments=($POSTGRES_INITDB_ARGS)"
    [[ -z ${POSTGRES_INITDB_WALDIR:-} ]] || options+=(--waldir="$POSTGRES_INITDB_WALDIR")
    if [[ -n $POSTGRES_PASSWORD ]]; then
        # A pipe: never an argument, never a file.
        initdb "${options[@]}" --auth=scram-sha-256 --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${arguments[@]}"
    else
        initdb "${options[@]}" --auth=trust "${arguments[@]}"
    fi
    # initdb writes PostgreSQL's defaults as if somebody had chosen them, and they would win over barepod's.
    sed -i -E 's/^(shared_buffers|effective_cache_size|maintenance_work_mem|max_parallel_workers[a-z_]*) *=/#&/' \
        "$data/postgresql.conf"
}

quoted() { printf '"%s"' "${1//\"/\"\"}"; }

# Who may connect. In a container of its own network, the image may trust every local client; here the local clients are
# the whole host, so only the account of the service gets in without a password, and only as the superuser.
access_rules() {
    local method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256} user account
    user=$(quoted "$POSTGRES_USER")
    account=$(quoted "$(id -un)")
    if [[ " $POSTGRES_INITDB_ARGS" =~ [[:space:]](-A|--auth) ]]; then
        printf '\nhost all all all %s\n' "$method" >>"$data/pg_hba.conf"
        return
    fi
    {
        printf '# Written when this cluster was made, and yours to change.\n'
        if [[ $method == trust ]]; then
            printf 'local all all trust\n'
        else
            printf 'local all %s peer map=barepod\n' "$user"
            printf 'local replication %s peer map=barepod\n' "$user"
            printf 'local all all scram-sha-256\n'
        fi
        printf 'host all all all %s\n' "$method"
    } >"$data/pg_hba.conf"
    printf '\n# The account of the service is the superuser.\nbarepod %s %s\n' "$account" "$user" >>"$data/pg_ident.conf"
}

# Starts a server that only this script can reach. $@: arguments of the container.
start_private_server() {
    sockets=$(mktemp -d "${TMPDIR:-/tmp}/barepod-init.XXXXXX")
    export PGHOST=$sockets PGPORT=5432
    unset PGHOSTADDR
    printf 'local all all trust\nlocal replication all trust\n' >"$work/private.conf"
    local options=("$@" -c listen_addresses= -c unix_socket_directories="$sockets" -c port="$PGPORT"
        -c hba_file="$work/private.conf" -c logging_collector=off)
    trap 'pg_ctl -D "$data" -m immediate -s stop || :; rm -rf "$sockets"' EXIT
    NOTIFY_SOCKET='' pg_ctl -D "$data" -w -s -t 86400 -o "$(printf '%q ' "${options[@]}")" start
}

stop_private_server() {
    pg_ctl -D "$data" -m fast -w -s -t 86400 stop
    trap - EXIT
    rm -rf "$sockets"
}

# Runs psql as the superuser on the database of the container; scripts of the image know it by this name.
docker_process_sql() {
    psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" "$@"
}

make_database() {
    psql -v ON_ERROR_STOP=1 -q --no-password --no-psqlrc --username "$POSTGRES_USER" --dbname postgres \
        --set db="$POSTGRES_DB" <<'SQL'
SELECT format('CREATE DATABASE %I', :'db') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'db') \gexec
SQL
}

run_script() {
    local script=$1
    case $script in
        *.sh)
            say "running $script"
            if [[ -x $script ]]; then
                "$script"
            else
                set +u
                # shellcheck source=/dev/null
                . "$script"
                set -u
            fi
            ;;
        *.sql) say "running $script" && docker_process_sql -f "$script" ;;
        *.sql.gz) say "running $script" && gunzip -c "$script" | docker_process_sql ;;
        *.sql.xz) say "running $script" && xz -dc "$script" | docker_process_sql ;;
        *.sql.zst) say "running $script" && zstd -dc "$script" | docker_process_sql ;;
        *) say "ignoring $script" ;;
    esac
}

run_scripts() {
    local script
    # Scripts of the image find psql and its arguments in this array.
    # shellcheck disable=SC2034
    psql=(docker_process_sql)
    [[ ! -d $scripts ]] || ls "$scripts" >/dev/null || die "$scripts cannot be read"
    for script in "$scripts"/*; do
        if [[ -e $script ]]; then
            run_script "$script"
        fi
    done
}

# $@: arguments of the container.
build() {
    settings
    refuse_strangers
    # A volume's own directory may be open to others, and PostgreSQL does not start on such a one.
    chmod 0700 "$target"
    begin_anew
    locale_of_new_cluster
    # Scripts append to $PGDATA/pg_hba.conf and the like.
    export PGDATA=$data
    make_cluster
    access_rules
    export PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
    start_private_server "$@"
    make_database
    run_scripts
    stop_private_server
    initdb --sync-only --pgdata="$data"
    : >"$moving"
    sync "$moving" "$work" "$target"
}

move_up() {
    local entry
    for entry in "$data"/* "$data"/.[!.]*; do
        case ${entry##*/} in
            PG_VERSION | '*' | '.[!.]*') ;;
            *) mv -T "$entry" "$target/${entry##*/}" ;;
        esac
    done
    sync "$target"
    mv -T "$data/PG_VERSION" "$version"
}

finish() {
    sync "$target"
    rm -rf "$work"
    sync "$target"
    mv -T "$version" "$target/PG_VERSION"
    sync "$target"
}

# The server needs none of them, and its environment can be read for as long as it lives.
forget_secrets() { unset POSTGRES_PASSWORD POSTGRES_PASSWORD_FILE PGPASSWORD; }

main() {
    if [[ ! -e $version && ! -e $moving ]]; then
        # Apart, so that a signal is obeyed at once and not when a long script has ended.
        build "${@:5}" &
        local builder=$!
        trap 'kill "$builder" 2>/dev/null; exit 130' INT QUIT TERM
        wait "$builder"
        trap - INT QUIT TERM
    fi
    if [[ ! -e $version ]]; then
        move_up
    fi
    finish
    say 'the database cluster is complete'
    forget_secrets
    exec "$@"
}

if [[ ! -s $target/PG_VERSION ]]; then
    main "$@"
fi
exec "$@"
