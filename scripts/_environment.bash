# Sourced by the four scripts; not a script of its own.
#
# ensure_environment EXTRAS makes the virtual environment ($CASCADE_VENV, else .venv beside this
# folder) hold the package with EXTRAS as pinned in constraints.txt, and sets $root and $venv.
# Messages go to stderr: stdout belongs to the command that follows.

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
venv="${CASCADE_VENV:-$root/.venv}"
[[ "$venv" == /* ]] || venv="$PWD/$venv"
python="$venv/bin/python"

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

create_environment() {
    if [[ -e "$venv" && ! -e "$venv/pyvenv.cfg" && -n "$(ls -A -- "$venv")" ]]; then
        die "$venv exists and is not a virtual environment." \
            "Name another folder with CASCADE_VENV, or move this one away."
    fi
    command -v python3 >/dev/null || die "python3 was not found; install Python 3.11 or later."
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        die "python3 is $(python3 --version 2>&1); Python 3.11 or later is needed." \
            "Put a later python3 first on PATH and run this again."
    fi
    python3 -m venv --clear "$venv" >&2 ||
        die "python3 could not make a virtual environment in $venv." \
            "On Debian and Ubuntu: apt install python3-venv"
}

# The key changes with everything that an installation depends on, the checkout's place included:
# an editable install points to it.
installation_key() {
    "$python" - "$root" <<'PYTHON'
import hashlib, pathlib, sys

root = pathlib.Path(sys.argv[1])
parts = [sys.version, str(root)]
parts += [(root / name).read_text("utf-8") for name in ("pyproject.toml", "constraints.txt")]
print(hashlib.sha256("\0".join(parts).encode()).hexdigest())
PYTHON
}

ensure_environment() {
    local extras="$1" key stamp="$venv/.cascade-$1"
    "$python" -m pip --version >/dev/null 2>&1 || create_environment
    key="$(installation_key)"
    # What the development tools need includes what a demo needs.
    if [[ "$(cat -- "$stamp" "$venv/.cascade-train,dev" 2>/dev/null)" == *"$key"* ]]; then
        return
    fi
    printf 'Installing into %s (some minutes the first time)\n' "$venv" >&2
    rm -f -- "$venv"/.cascade-*
    (cd -- "$root" &&
        "$python" -m pip install --quiet --no-input --disable-pip-version-check \
            --constraint constraints.txt --editable ".[$extras]") </dev/null >&2 ||
        die "The installation failed; the lines above say why. Running this again resumes it."
    printf '%s\n' "$key" >"$stamp"
}
