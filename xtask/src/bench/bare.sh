#!/bin/sh
# One delivery with bare tools: clone, build, push to a registry, commit the manifest, run by digest, wait for health,
# reload nginx. Prints a line per phase: its name and milliseconds. The old container is removed by the caller, after
# the new version was seen.
set -eu

began=$(date +%s%N)
phase() {
  now=$(date +%s%N)
  echo "$1 $(((now - began) / 1000000))"
  began=$now
}

rm -rf "$FOLDER/clone"
git clone --quiet --depth 1 "file://$FOLDER/source.git" "$FOLDER/clone"
phase clone

podman build --quiet --tag "$REGISTRY/bench/web:$VERSION" "$FOLDER/clone" > "$FOLDER/image-id"
phase build

podman push --quiet --digestfile "$FOLDER/digest" "$REGISTRY/bench/web:$VERSION"
image="$REGISTRY/bench/web@$(cat "$FOLDER/digest")"
phase push

sed -i "s|image: .*|image: $image|" "$FOLDER/deploy/deployment.yaml"
git -C "$FOLDER/deploy" commit --quiet --all --message "Deploy $VERSION"
git -C "$FOLDER/deploy" push --quiet origin main
phase commit

podman run --quiet --detach --name "bench-$VERSION" --publish "127.0.0.1:$PORT:8080" "$image" > "$FOLDER/container"
phase run

until curl --silent --fail --output /dev/null "http://127.0.0.1:$PORT/healthz"; do sleep 0.02; done
phase health

printf 'server 127.0.0.1:%s;\n' "$PORT" > "$FOLDER/upstream.conf"
"$NGINX" -c "$FOLDER/nginx.conf" -s reload
phase reload
