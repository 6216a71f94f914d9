#!/usr/bin/env bash
# Applies the rulesets and environments beside this file to a repository, with GitHub's own gh.
# Applied again, it brings what is there up to date instead of adding to it.
set -euo pipefail

usage() {
  echo "usage: apply.sh OWNER/REPO --reviewer USER|ORG/TEAM [--dry-run]" >&2
  exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
repository=${1:-}
reviewer=
dry_run=
[[ "$repository" =~ ^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$ ]] || usage
shift
while [ $# -gt 0 ]; do
  case "$1" in
    --reviewer) reviewer=${2:-}; shift 2 || usage ;;
    --dry-run) dry_run=yes; shift ;;
    *) usage ;;
  esac
done
[[ "$reviewer" =~ ^[A-Za-z0-9_-]+(/[A-Za-z0-9_.-]+)?$ ]] || usage
command -v gh > /dev/null || { echo "apply.sh needs gh: https://cli.github.com" >&2; exit 2; }
gh auth status > /dev/null || { echo "apply.sh needs a login: gh auth login" >&2; exit 4; }

# Writes, unless it is a dry run; the document comes on standard input.
write() {
  echo "$1 $2"
  if [ -n "$dry_run" ]; then cat > /dev/null; else gh api --silent --method "$1" "$2" --input -; fi
}

case "$reviewer" in
  */*) kind=Team; id=$(gh api "orgs/${reviewer%%/*}/teams/${reviewer#*/}" --jq .id) ;;
  *) kind=User; id=$(gh api "users/$reviewer" --jq .id) ;;
esac

for name in integration main; do
  known=$(gh api "repos/$repository/rulesets" --jq ".[] | select(.name == \"$name\") | .id")
  if [ -n "$known" ]; then
    write PUT "repos/$repository/rulesets/$known" < "$here/$name.json"
  else
    write POST "repos/$repository/rulesets" < "$here/$name.json"
  fi
done

sed "s/\"reviewers\": \[\]/\"reviewers\": [{\"type\": \"$kind\", \"id\": $id}]/" \
  "$here/environments/production.json" | write PUT "repos/$repository/environments/production"
write PUT "repos/$repository/environments/production-operations" \
  < "$here/environments/production-operations.json"

for environment in production production-operations; do
  policies="repos/$repository/environments/$environment/deployment-branch-policies"
  known=$(gh api "$policies" --jq '.branch_policies[].name' 2> /dev/null || [ -n "$dry_run" ])
  for branch in integration main; do
    if ! grep -qx "$branch" <<< "$known"; then
      echo "{\"name\": \"$branch\"}" | write POST "$policies"
    fi
  done
done
