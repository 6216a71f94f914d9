#!/usr/bin/env bash
# Writes ml=true or ml=false. Without a base to compare with (a manual run, a new branch, rewritten
# history) everything counts as changed.
set -euo pipefail

ml=true
if [ -n "${BASE:-}" ] && git cat-file -e "${BASE}^{commit}" 2>/dev/null; then
  ml=false
  while IFS= read -r -d '' path; do
    case "$path" in
      taxiops/* | components/* | pipelines/* | .github/workflows/* | .github/actions/* | requirements.lock | pyproject.toml)
        printf 'asks for the full validation: %q\n' "$path"
        ml=true
        ;;
    esac
  done < <(git diff --name-only -z "$BASE" HEAD --)
fi
echo "full ML validation: $ml"
echo "ml=$ml" >> "$GITHUB_OUTPUT"
