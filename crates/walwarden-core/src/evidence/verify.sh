#!/bin/sh
# Checks this bundle with openssl and sha256sum, and with minisign and ssh-keygen where they are installed.
#
#   sh verify.sh [PUBLIC_KEY.pem]...
#
# Ends with 0 when everything is as it was signed, 1 when something is not, 2 when it could not be checked.
LC_ALL=C
export LC_ALL
set -u

problems=0
ok() { printf 'ok       %s\n' "$*"; }
note() { printf 'note     %s\n' "$*"; }
problem() { printf 'PROBLEM  %s\n' "$*"; problems=$((problems + 1)); }
give_up() { printf 'verify.sh: %s\n' "$*" >&2; exit 2; }

for tool in openssl sha256sum sed awk sort cut tail head grep cmp find; do
    command -v "$tool" > /dev/null 2>&1 || give_up "there is no $tool"
done

# The given keys by their full path, before the folder is changed.
work=${TMPDIR:-/tmp}/walwarden-verify.$$
(umask 077 && mkdir "$work") || give_up "cannot make the folder $work"
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM
mkdir "$work/given" "$work/believed"
given=0
for key in "$@"; do
    given=$((given + 1))
    cat < "$key" > "$work/given/$given.pem" || give_up "cannot read $key"
done
cd "$(dirname "$0")" || give_up "cannot enter the folder of the bundle"

is_number() { # one that the shell can count with
    case $1 in
    '' | *[!0-9]* | 0?* | ???????????????????*) return 1 ;;
    esac
}
is_id() {
    case $1 in
    *[!0-9a-f]*) return 1 ;;
    ????????????????) return 0 ;;
    *) return 1 ;;
    esac
}
id_of() { # PEM
    openssl pkey -pubin -in "$1" -outform DER 2> /dev/null | tail -c 32 | sha256sum | cut -c 1-16
}
raw() { # PEM FILE SIGNATURE
    openssl pkeyutl -verify -pubin -inkey "$1" -rawin -in "$2" -sigfile "$3" > /dev/null 2>&1
}
by_believed() { # FILE SIGNATURE: leaves the key's id in $signer
    for key in "$work"/believed/*.pem; do
        signer=${key##*/}
        signer=${signer%.pem}
        if [ -f "$key" ] && raw "$key" "$1" "$2"; then return 0; fi
    done
    signer=
    return 1
}

# ---- keys
for file in keys/*.pem; do
    id=${file##*/}
    [ "$(id_of "$file").pem" = "$id" ] || problem "$file: it is another key"
done
if [ "$given" -gt 0 ]; then
    for key in "$work"/given/*.pem; do
        id=$(id_of "$key")
        openssl pkey -pubin -in "$key" -out "$work/believed/$id.pem" 2> /dev/null || give_up "a given key is no public key"
    done
else
    id=$(head -n 1 keys/history)
    is_id "$id" || give_up "there is no key"
    cp "keys/$id.pem" "$work/believed/$id.pem" || give_up "there is no key"
    note "no public key was given: checked against the first key in this bundle, $id; compare it with one you know"
fi
named() { # the key that a statement names: STATEMENT old|new
    sed -n 's/.*"'"$2"'":{"key_id":"\([0-9a-f]*\)","public_key":"\([^"]*\)"}.*/\1/p' "$1"
}
escaped() { # a key as a statement writes it: PEM
    awk '{ printf "%s\\n", $0 }' "$1"
}
more=1
while [ "$more" = 1 ]; do
    more=0
    for statement in keys/rotation-*.json; do
        [ -f "$statement" ] || continue
        old=$(named "$statement" old)
        new=$(named "$statement" new)
        if [ ! -f "$work/believed/$old.pem" ] || [ -f "$work/believed/$new.pem" ]; then continue; fi
        raw "$work/believed/$old.pem" "$statement" "$statement.sig" || continue
        printf '"new":{"key_id":"%s","public_key":"%s"}' "$new" "$(escaped "keys/$new.pem")" > "$work/expected"
        grep -q -F -f "$work/expected" "$statement" || continue
        cp "keys/$new.pem" "$work/believed/$new.pem"
        more=1
    done
done
for statement in keys/rotation-*.json; do
    [ -f "$statement" ] || continue
    old=$(named "$statement" old)
    new=$(named "$statement" new)
    if [ -f "keys/$old.pem" ] && raw "keys/$old.pem" "$statement" "$statement.sig"; then
        ok "$statement: $old handed over to $new"
    else
        problem "$statement: the old key did not sign it"
    fi
done
for file in keys/*.pem; do
    if [ -f "$work/believed/${file##*/}" ]; then
        ok "$file: believed"
    else
        note "$file: no key that is believed handed over to it; what it signed is not believed"
    fi
done

# ---- sums
if sha256sum -c SHA256SUMS > "$work/sums" 2> /dev/null; then
    ok "SHA256SUMS: all files are what it says"
else
    grep -v ': OK$' "$work/sums" | while IFS= read -r line; do printf 'PROBLEM  SHA256SUMS: %s\n' "$line"; done
    problems=$((problems + 1))
fi
find . ! -type d | sed 's,^\./,,' | grep -v -x -E 'SHA256SUMS(\.(sig|minisig|sshsig))?' | sort > "$work/there"
cut -c 67- SHA256SUMS | sort > "$work/listed"
if ! cmp -s "$work/there" "$work/listed"; then
    problem "SHA256SUMS: it does not name exactly the files that are there"
fi

signed() { # FILE
    if by_believed "$1" "$1.sig"; then
        ok "$1.sig: signed by $signer"
        key_id=$signer
    else
        problem "$1.sig: no key that is believed signed it"
        key_id=
    fi
    if command -v minisign > /dev/null 2>&1; then
        found=
        for key in "$work"/believed/*.pem; do
            key=keys/$(basename "$key" .pem).minisign.pub
            if [ -f "$key" ] && minisign -Vm "$1" -x "$1.minisig" -p "$key" > /dev/null 2>&1; then found=1; fi
        done
        if [ -n "$found" ]; then ok "$1.minisig"; else problem "$1.minisig: minisign refuses it"; fi
    fi
    if command -v ssh-keygen > /dev/null 2>&1; then
        if ssh-keygen -Y verify -f keys/allowed_signers -I walwarden -n walwarden-manifest -s "$1.sshsig" \
            < "$1" > /dev/null 2>&1; then ok "$1.sshsig"; else problem "$1.sshsig: ssh-keygen refuses it"; fi
    fi
}
command -v minisign > /dev/null 2>&1 || note "minisign is not installed: its signatures are not checked"
command -v ssh-keygen > /dev/null 2>&1 || note "ssh-keygen is not installed: its signatures are not checked"
signed SHA256SUMS

# ---- manifests
database=$(sed -n 's/.*"database":"\([0-9a-f-]*\)".*/\1/p' bundle.json)
for file in manifests/*.manifest.json; do
    [ -f "$file" ] || continue
    signed "$file"
    job=${file#manifests/}
    job=${job%%.*}
    grep -q -F "\"job\":{\"id\":\"$job\"" "$file" || problem "$file: it is the manifest of another job"
    grep -q -E "\"database\":\{\"encoding\":\"[^\"]*\",\"id\":\"$database\"" "$file" ||
        problem "$file: it is of another database"
    if [ -n "$key_id" ]; then
        grep -q -F "\"key_id\":\"$key_id\"" "$file" || problem "$file: it names another key than the one that signed it"
    fi
    sha256=$(sed -n 's/^{"archive":{.*"sha256":"\([0-9a-f]*\)","size":[0-9]*},"audit_head".*/\1/p' "$file")
    completed=$(grep -E "\"event\":\"backup\.(completed|partial)\",\"job\":\"$job\",\"prev\"" entries.jsonl | tail -n 1)
    case $completed in
    '') problem "$file: no entry says that its backup was completed" ;;
    *"\"sha256\":\"$sha256\""*) ok "$file: entry and manifest name the same archive" ;;
    *) problem "$file: its archive is not the one that the entry of its completion names" ;;
    esac
done
sed -n -E 's/.*,"event":"backup\.(completed|partial)","job":"([0-9a-f-]*)","prev".*/\2/p' entries.jsonl > "$work/completed"
while IFS= read -r job; do
    [ -f "manifests/$job.manifest.json" ] || problem "manifests/$job.manifest.json: a backup was completed, and it is missing"
done < "$work/completed"

# ---- checkpoints
newest='' newest_size=0
for file in checkpoints/*; do
    [ -f "$file" ] || continue
    sed '/^$/,$d' "$file" > "$work/text"
    awk '$1 == "\342\200\224" && $2 == "walwarden" { print $3; exit }' "$file" |
        openssl base64 -d -A 2> /dev/null | tail -c 64 > "$work/signature"
    if by_believed "$work/text" "$work/signature"; then
        origin=$(sed -n 1p "$work/text")
        size=$(sed -n 2p "$work/text")
        epoch=${origin##*/}
        if ! is_number "$size" || ! is_number "$epoch" || [ "$(wc -l < "$work/text")" -ne 3 ]; then
            problem "$file: it is no checkpoint"
            continue
        fi
        expected=$(printf '%010d-%020d' "$epoch" "$size")
        if [ "$origin" != "walwarden/$database/$epoch" ] || [ "$file" != "checkpoints/$expected" ]; then
            problem "$file: it is another checkpoint, $origin of size $size"
            continue
        fi
        ok "$file: signed by $signer"
        printf '%s %s %s\n' "$size" "$epoch" "$file" >> "$work/checkpoints"
    else
        problem "$file: no key that is believed signed it"
    fi
done
[ -f "$work/checkpoints" ] || { problem "checkpoints: there is none that can be believed"; : > "$work/checkpoints"; }
sort -k 1,1n -k 2,2n "$work/checkpoints" > "$work/in_order"
if [ -s "$work/in_order" ]; then
    read -r newest_size _ newest << LAST
$(tail -n 1 "$work/in_order")
LAST
fi
root_of() { sed -n 3p "$1"; } # CHECKPOINT, in base64

# ---- entries: each with the hash of its leaf, and whether it names the line before it
# What stands last in every body is its hash of the entry before, and its number.
: > "$work/entries"
number=0 last_seq=0 last_hash=none
while IFS= read -r line; do
    number=$((number + 1))
    seq=${line##*,\"seq\":}
    seq=${seq%\}}
    prev=${line%,\"seq\":*}
    prev=${prev##*,\"prev\":\"}
    prev=${prev%\"}
    if ! is_number "$seq"; then problem "entries.jsonl line $number: it is no entry"; continue; fi
    if [ "$seq" -le "$last_seq" ]; then problem "entries.jsonl line $number: entry $seq is out of order"; fi
    hash=$({ printf '\000'; printf '%s' "$line"; } | sha256sum)
    hash=${hash%% *}
    follows=0
    if [ "$seq" -eq $((last_seq + 1)) ] && [ "$last_hash" != none ]; then
        if [ "$prev" = "$last_hash" ]; then follows=1; else
            problem "entries.jsonl line $number: entry $seq does not follow the entry before it"
        fi
    fi
    printf '%s %s %s\n' "$seq" "$hash" "$follows" >> "$work/entries"
    last_seq=$seq last_hash=$hash
done < entries.jsonl

# ---- proofs: hashes are files of 32 bytes
unbase() { printf '%s' "$1" | openssl base64 -d -A > "$2" 2> /dev/null; }
node() { # LEFT RIGHT OUT: may write over either
    { printf '\001'; cat "$1" "$2"; } | openssl dgst -sha256 -binary > "$work/node" && mv "$work/node" "$3"
}
: > "$work/proven"
for file in proofs/*.tlog-proof; do
    [ -f "$file" ] || continue
    seq=$(basename "$file" .tlog-proof)
    seq=$(printf '%s' "$seq" | sed 's/^0*//')
    if ! is_number "$seq"; then problem "$file: it is no proof"; continue; fi
    if [ "$(sed -n 2p "$file")" != "index $((seq - 1))" ]; then problem "$file: it is the proof of another entry"; continue; fi
    sed '1,/^$/d' "$file" > "$work/checkpoint"
    if [ -z "$newest" ] || ! cmp -s "$work/checkpoint" "$newest"; then
        problem "$file: it leads to another checkpoint than the newest"
        continue
    fi
    body=$(grep ",\"seq\":$seq}\$" entries.jsonl | head -n 1)
    if [ -z "$body" ]; then problem "$file: the entry that it is to prove is missing"; continue; fi
    { printf '\000'; printf '%s' "$body"; } | openssl dgst -sha256 -binary > "$work/hash"
    index=$((seq - 1)) last=$((newest_size - 1)) good=1
    [ "$index" -le "$last" ] || good=0
    sed -n '3,/^$/p' "$file" | sed '/^$/d' > "$work/path"
    while [ "$good" = 1 ] && IFS= read -r encoded; do
        if [ "$last" -eq 0 ]; then good=0; break; fi
        unbase "$encoded" "$work/other"
        if [ $((index & 1)) -eq 1 ] || [ "$index" -eq "$last" ]; then
            node "$work/other" "$work/hash" "$work/hash"
            while [ $((index & 1)) -eq 0 ] && [ "$index" -ne 0 ]; do index=$((index >> 1)) last=$((last >> 1)); done
        else
            node "$work/hash" "$work/other" "$work/hash"
        fi
        index=$((index >> 1)) last=$((last >> 1))
    done < "$work/path"
    [ "$last" -eq 0 ] || good=0
    if [ "$good" = 1 ] && [ "$(openssl base64 -A -in "$work/hash")" = "$(root_of "$newest")" ]; then
        ok "$file: the newest checkpoint covers entry $seq"
        printf '%s\n' "$seq" >> "$work/proven"
    else
        problem "$file: it does not lead to the signed head"
    fi
done

# An entry without a proof of its own is proven when the next one names it and is proven.
sort -rn "$work/entries" | awk -v proven="$work/proven" '
    BEGIN { while ((getline seq < proven) > 0) is_proven[seq] = 1 }
    { good = next_proves || ($1 in is_proven); if (!good) print $1; next_proves = good && $3 }' > "$work/unproven"
while IFS= read -r seq; do
    problem "entries.jsonl: no proof shows that a signed checkpoint covers entry $seq"
done < "$work/unproven"
[ -s "$work/entries" ] || problem "entries.jsonl: there is no entry"
[ -s "$work/unproven" ] || ok "entries.jsonl: all entries are covered by the newest checkpoint"

# What was asked for.
job=$(sed -n 's/.*"scope":{"job":"\([0-9a-f-]*\)"}}$/\1/p' bundle.json)
if [ -n "$job" ]; then
    if grep -q -v ",\"job\":\"$job\",\"prev\"" entries.jsonl; then problem "entries.jsonl: there are entries of other jobs"; fi
else
    awk 'NR > 1 && $1 != last + 1 { print last + 1 " to " $1 - 1 } { last = $1 }' "$work/entries" > "$work/gaps"
    while IFS= read -r gap; do problem "entries.jsonl: entries $gap are missing"; done < "$work/gaps"
fi

# Each checkpoint only adds to the one before.
earlier=
while read -r size epoch file; do
    if [ -n "$earlier" ]; then
        name=$(printf 'proofs/%010d-%020d.%010d-%020d.consistency' "$earlier_epoch" "$earlier_size" "$epoch" "$size")
        good=1
        [ "$(sed -n 2p "$name" 2> /dev/null)" = "from $earlier_epoch $earlier_size" ] &&
            [ "$(sed -n 3p "$name")" = "to $epoch $size" ] || good=0
        sed -n '4,$p' "$name" > "$work/path" 2> /dev/null || good=0
        index=$((earlier_size - 1)) last=$((size - 1))
        if [ "$earlier_size" -eq "$size" ]; then
            [ "$good" = 1 ] && [ ! -s "$work/path" ] && [ "$(root_of "$earlier")" = "$(root_of "$file")" ] || good=0
        else
            if [ $((earlier_size & index)) -eq 0 ]; then
                unbase "$(root_of "$earlier")" "$work/old"
            else
                unbase "$(head -n 1 "$work/path")" "$work/old"
                sed 1d "$work/path" > "$work/rest" && mv "$work/rest" "$work/path"
            fi
            cp "$work/old" "$work/new"
            while [ $((index & 1)) -eq 1 ]; do index=$((index >> 1)) last=$((last >> 1)); done
            while [ "$good" = 1 ] && IFS= read -r encoded; do
                if [ "$last" -eq 0 ]; then good=0; break; fi
                unbase "$encoded" "$work/other"
                if [ $((index & 1)) -eq 1 ] || [ "$index" -eq "$last" ]; then
                    node "$work/other" "$work/old" "$work/old"
                    node "$work/other" "$work/new" "$work/new"
                    while [ $((index & 1)) -eq 0 ] && [ "$index" -ne 0 ]; do index=$((index >> 1)) last=$((last >> 1)); done
                else
                    node "$work/new" "$work/other" "$work/new"
                fi
                index=$((index >> 1)) last=$((last >> 1))
            done < "$work/path"
            [ "$last" -eq 0 ] || good=0
            [ "$(openssl base64 -A -in "$work/old")" = "$(root_of "$earlier")" ] &&
                [ "$(openssl base64 -A -in "$work/new")" = "$(root_of "$file")" ] || good=0
        fi
        if [ "$good" = 1 ]; then ok "$name"; else problem "$name: it does not show that the log was only added to"; fi
    fi
    earlier=$file earlier_size=$size earlier_epoch=$epoch
done < "$work/in_order"

if [ "$problems" -eq 0 ]; then
    printf 'Everything is as it was signed.\n'
    exit 0
fi
printf '%s problems.\n' "$problems"
exit 1
