#!/usr/bin/env bash
# Runs on a Fly Machine: gets a token with the machine's identity and deletes old logs with it.
set -euo pipefail

writ=${WRIT:-https://auth.example.com}
api=${LOGS_API:-https://logs.example.com}

# Fly signs which app of which organization this machine runs, for Writ alone.
proof=$(curl -sSf --unix-socket "${FLY_API_SOCKET:-/.fly/api}" http://localhost/v1/tokens/oidc \
    -H "Content-Type: application/json" -d "{\"aud\":\"$writ\"}")

# Writ gives one token for one resource, good for minutes.
answer=$(curl -sS --fail-with-body "$writ/oauth/token" \
    -d grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer \
    -d assertion="$proof" \
    -d resource=https://logs.example.com -d scope=logs:delete) || {
    echo "no token: $answer" >&2
    exit 1
}
token=$(jq -er .access_token <<<"$answer")

curl -sS --fail-with-body -X DELETE "$api/older-than/30d" -H "Authorization: Bearer $token"
