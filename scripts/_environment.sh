# Sourced by demo, test, bench and .ci/run: makes the project's own environment in .venv, once.
#
# In:  nothing but bash and a Python >= 3.11 (or $PYTHON). uv is used where it is present, pip elsewhere; both install
#      exactly what requirements/dev.txt pins, by hash.
# Out: $project (the project's folder) and $project_python (its interpreter), or a plain message and exit status 1.
# A stamp over requirements, project file, what is compiled, interpreter and place makes every further run immediate and offline.
# shellcheck shell=bash

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
project_python=$project/.venv/bin/python

unset PYTHONDONTWRITEBYTECODE  # this environment is the project's own, and its starts are many

_say() { printf '%s\n' "$*" >&2; }
_stop() { _say "" "Cannot set up the environment: $1"; shift; for _line in "$@"; do _say "  $_line"; done; exit 1; }

_is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

_find_python() {
  local candidate found=''
  for candidate in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3.14 python3 python; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    if _is_new_enough "$candidate"; then command -v "$candidate"; return; fi
    found="$found $candidate ($("$candidate" -c 'import platform; print(platform.python_version())' 2>/dev/null || echo 'does not run'))"
  done
  _stop "Python 3.11 or newer is needed." \
    "Found:${found:- no Python on PATH}." \
    "Install one (for instance: apt install python3.11 python3.11-venv), or name one: PYTHON=/path/to/python3.12 $0"
}

_digest() {
  "$1" - "$project" <<'PYTHON'
import hashlib, pathlib, sys
project = pathlib.Path(sys.argv[1])
digest = hashlib.sha256(repr((str(project), sys.version_info[:2])).encode())
for name in ("requirements/dev.txt", "pyproject.toml", "hatch_build.py", "connectors/s3/formats/_scan.c"):
    digest.update((project / name).read_bytes())
print(digest.hexdigest())
PYTHON
}

_make_venv() {
  if command -v uv >/dev/null 2>&1; then
    uv venv --quiet --clear --python "$1" "$project/.venv" || _stop "uv could not make $project/.venv (its words are above)."
    return
  fi
  "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 || _stop "this Python ($1) cannot make virtual environments." \
    "On Debian and Ubuntu that part is a package of its own: apt install python3-venv"
  rm -rf "$project/.venv"
  "$1" -m venv "$project/.venv" || _stop "python -m venv failed (its words are above)."
}

_install() {
  local log=$project/.venv/install.log
  if command -v uv >/dev/null 2>&1; then
    uv pip install --quiet --python "$project_python" --require-hashes -r "$project/requirements/dev.txt" >"$log" 2>&1 \
      && uv pip install --quiet --python "$project_python" --no-deps --no-build-isolation -e "$project" >>"$log" 2>&1
  else
    "$project_python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all: --no-compile \
        -r "$project/requirements/dev.txt" >"$log" 2>&1 \
      && "$project_python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation \
        -e "$project" >>"$log" 2>&1
  fi && _compile
}

# All at once and side by side: otherwise every process that starts until then compiles what it imports.
_compile() {
  "$project_python" -m compileall -q -j 2 "$("$project_python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    "$project/dsr_worker" "$project/connectors" >/dev/null 2>&1 || true  # a package may carry templates that are no Python
}

_explain_failed_install() {
  local log=$project/.venv/install.log
  _say "" "The last words of the installer:"
  tail -n 12 "$log" >&2
  _stop "the pinned packages could not be installed." \
    "Missing: packages of requirements/dev.txt, which come from your package index; after one successful run no" \
    "network is needed any more. Is this machine offline, or behind a proxy or an index that pip must be told of?" \
    "Then run the same command again; it goes on where it stopped. Whole output: $log"
}

_ensure_environment() {
  local python wanted
  [ -x "$project_python" ] && _is_new_enough "$project_python" && python=$project_python || python=$(_find_python) || exit 1
  wanted=$(_digest "$python") || _stop "cannot read requirements/dev.txt and pyproject.toml in $project."
  [ "$(cat "$project/.venv/stamp" 2>/dev/null)" = "$wanted" ] && return

  local began=$SECONDS
  # A folder that was moved or copied carries interpreters and launchers of another place: it is made anew.
  if [ "$python" != "$project_python" ] || [ "$(cat "$project/.venv/place" 2>/dev/null)" != "$project" ]; then
    [ "$python" = "$project_python" ] && { python=$(_find_python) || exit 1; }
    _say "Making an environment in .venv with $("$python" -V) ..."
    _make_venv "$python"
    printf '%s\n' "$project" >"$project/.venv/place"
  fi
  _say "Installing $(grep -c '^[A-Za-z0-9].*==' "$project/requirements/dev.txt") pinned packages (once, about 250 MB; a few minutes) ..."
  _install & _wait_with_dots $! || _explain_failed_install
  _digest "$project_python" >"$project/.venv/stamp"
  _say "Environment ready after $((SECONDS - began)) s."
}

_wait_with_dots() {
  local waited_s=0
  while kill -0 "$1" 2>/dev/null; do
    sleep 1
    waited_s=$((waited_s + 1))
    [ $((waited_s % 10)) = 0 ] && _say "  ... still installing (${waited_s} s)"
  done
  wait "$1"
}

_ensure_environment
