#!/bin/sh
# The WHEP offer exchange with nothing but curl: POST an SDP offer, show the answer, DELETE the session.
set -eu

usage() {
    cat <<'END'
usage: whep.sh [URL [OFFER]]

Posts an SDP offer to a WHEP endpoint and shows the status, the session's location and the SDP answer,
then ends the session. No media flows: curl does not speak WebRTC.

  URL    http://127.0.0.1:8080/whep unless given; http://HOST:8080/NAME/whep for one stream of many,
         with ?token=TOKEN where one is needed: "?token=$(fanlight token)"
  OFFER  a file with an SDP offer, - for standard input; a minimal offer to receive H.264 unless given

Exit status: 0 answered, 1 refused or unreachable, 2 usage.
END
}

case ${1:-} in
    -h | --help) usage; exit ;;
    -*) usage >&2; exit 2 ;;
esac
[ $# -le 2 ] || { usage >&2; exit 2; }
url=${1:-http://127.0.0.1:8080/whep}
token=$(printf '%s\n' "$url" | sed -nE 's/.*[?&]token=([^&]*).*/\1/p')
offer=${2:-}

# What a viewer without candidates of its own says: one video to receive, H.264 of any profile that cameras have.
# A real viewer sends its own ICE credentials and the fingerprint of its own certificate.
minimal_offer() {
    cat <<'END'
v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=video 9 UDP/TLS/RTP/SAVPF 96 97 98
c=IN IP4 0.0.0.0
a=mid:0
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=setup:actpass
a=ice-ufrag:whep
a=ice-pwd:anOfferMadeByAShellScript
a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F
a=rtpmap:96 H264/90000
a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtpmap:97 H264/90000
a=fmtp:97 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f
a=rtpmap:98 H264/90000
a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f
a=rtcp-fb:* nack
a=rtcp-fb:* nack pli
END
}

work=$(mktemp -d)
session=
finish() {
    [ -z "$session" ] || printf 'DELETE %s: %s\n' "$session" \
        "$(curl -sS -o /dev/null -w '%{http_code}' -X DELETE ${token:+-H "Authorization: Bearer $token"} "$session")"
    rm -r "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

case $offer in
    '') minimal_offer ;;
    -) cat ;;
    *) cat -- "$offer" ;;
esac | sed 's/\r*$/\r/' >"$work/offer"  # SDP lines end in CR LF

status=$(curl -sS -D "$work/head" -o "$work/answer" -w '%{http_code}' \
    -H 'Content-Type: application/sdp' --data-binary "@$work/offer" "$url") || exit 1
printf 'POST %s: %s\n' "$url" "$status"
if [ "$status" != 201 ]; then
    cat "$work/answer"; echo
    exit 1
fi

location=$(sed -n 's/^[Ll]ocation: *\([^\r]*\)\r*$/\1/p' "$work/head")
origin=$(printf '%s\n' "$url" | sed -E 's|^([a-z]+://[^/]+).*|\1|')
case $location in
    http*) session=$location ;;
    /*) session=$origin$location ;;
    ?*) session=${url%/*}/$location ;;
esac
printf 'Location: %s\n\n' "$location"
tr -d '\r' <"$work/answer"
echo
