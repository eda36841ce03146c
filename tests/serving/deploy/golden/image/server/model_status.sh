#!/bin/bash
# Asks the REST API of the server in this container for the status of its models.
#
#   model_status.sh ready PORT MODEL...   0 if one version is AVAILABLE in all of the models
#   model_status.sh live PORT MODEL...    0 if the server answers, whatever it says of the models
#
# HTTP 200 says nothing about AVAILABLE, so the states are read. A pair of which one half is at
# another version is not ready: no request should meet it. bash alone, since the stock image has
# no curl.
set -u

answer() { # sets status and body; fails if there is no answer
  local line text=''
  exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf 'GET /v1/models/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&3
  status='' body=''
  while IFS= read -r -t 4 line <&3 || [[ -n $line ]]; do
    text+=$line
  done
  exec 3>&- 3<&-
  [[ $text =~ ^HTTP/1\.[01]\ ([0-9]{3}) ]] || return 1
  status=${BASH_REMATCH[1]}
  body=${text//[[:space:]]/}
}

available() { # prints the versions of $body that are AVAILABLE, each between spaces
  local rest=$body entry='"version":"([0-9]+)","state":"AVAILABLE"'
  printf ' '
  while [[ $rest =~ $entry ]]; do
    printf '%s ' "${BASH_REMATCH[1]}"
    rest=${rest#*"${BASH_REMATCH[0]}"}
  done
}

(($# >= 3)) || { echo 'usage: model_status.sh ready|live PORT MODEL...' >&2; exit 2; }
mode=$1 port=$2
shift 2
together=''
for model; do
  answer "$model" 2>/dev/null || { echo "no answer at port $port" >&2; exit 1; }
  [[ $mode == live ]] && { echo "answers"; exit 0; }
  [[ $status == 200 ]] || { echo "$model: HTTP $status" >&2; exit 1; }
  versions=$(available)
  [[ $versions == ' ' ]] && { echo "$model: no version is AVAILABLE" >&2; exit 1; }
  if [[ -z $together ]]; then
    together=$versions
    continue
  fi
  common=' '
  for version in $together; do
    [[ $versions == *" $version "* ]] && common+="$version "
  done
  [[ $common == ' ' ]] && { echo "mixed pair: $model has$versions, before$together" >&2; exit 1; }
  together=$common
done
echo "AVAILABLE in all:${together% }"
