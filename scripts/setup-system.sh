#!/usr/bin/env bash
# Makes sure that the programs from outside Python are there.
#
#   setup-system.sh build    what the build needs: a C compiler to link with, and Rust
#   setup-system.sh test     those, and what the tests run: nft, ip, tshark, systemd-analyze, chromium
#
# A missing Debian package is installed where that is allowed (root, with apt-get); otherwise it is named. Rust is only
# named: where it comes from is for the user to choose.
set -euo pipefail

minimum_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../native/Cargo.toml")

# command=package
programs=(cc=gcc)
case "${1:-}" in
build) ;;
test) programs+=(chromium=chromium ip=iproute2 nft=nftables tshark=tshark systemd-analyze=systemd) ;;
*)
  echo "usage: $0 build|test" >&2
  exit 2
  ;;
esac

export PATH="$PATH:/usr/sbin:/sbin"
missing=()
for program in "${programs[@]}"; do
  command -v "${program%%=*}" >/dev/null || missing+=("${program##*=}")
done

if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "These packages are missing: ${missing[*]}. Install them, on Debian: sudo apt-get install ${missing[*]}" >&2
    exit 1
  fi
  echo "Installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q </dev/null
  apt-get install -qy --no-install-recommends "${missing[@]}" </dev/null
fi

if ! command -v cargo >/dev/null; then
  echo "cargo is missing: the native core is written in Rust ($minimum_rust or newer); https://rustup.rs installs it" >&2
  exit 1
fi
rust=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n' "$minimum_rust" "${rust%%-*}" | sort -V | head -n 1)" != "$minimum_rust" ]; then
  echo "Rust $rust is too old: the native core needs $minimum_rust or newer; run: rustup update stable" >&2
  exit 1
fi
