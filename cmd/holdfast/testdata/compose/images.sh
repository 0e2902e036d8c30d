#!/usr/bin/env bash
# images.sh WORK makes what compose.yaml and the Dockerfiles pull, where no registry of
# images can be reached: the same programs under the same names, out of Debian's packages,
# this machine's Go and the engines of deploy/engines. An image that is there is left as
# it is, so where it was pulled the real one is tried.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
work=$1 engines=${HOLDFAST_ENGINES:?}
mkdir -p "$work"

have() { docker image inspect "$1" >/dev/null 2>&1; }

# build NAME DIRECTORY; what Docker says is shown where it fails.
build() { nice -n 10 docker build -t "$1" "$2" >"$work/said" 2>&1 || { cat "$work/said"; exit 1; }; }

# A Debian as small as the slim one: what every Debian has, and apt.
debian() {
	local codename=bookworm mirror
	mirror=$(apt-get indextargets --format '$(SITE)' "Codename: $codename" 'Created-By: Packages' | sed -n 1p)
	mmdebstrap --quiet --variant=minbase --skip=cleanup/reproducible "$codename" "$work/debian.tar" ${mirror:+"$mirror"}
	docker import -c 'CMD ["bash"]' "$work/debian.tar" "$1"
	rm "$work/debian.tar"
}

# The image of Go with this machine's Go, and the roots that this machine trusts.
golang() {
	local d=$work/golang
	rm -rf "$d" && mkdir -p "$d"
	cp -r "$(go env GOROOT)" "$d/go"
	cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$d/roots.crt"
	cat >"$d/Dockerfile" <<-'END'
		FROM debian:bookworm-slim
		COPY go /usr/local/go
		COPY roots.crt /etc/ssl/certs/ca-certificates.crt
		ENV GOTOOLCHAIN=local GOPATH=/go PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	END
	build "$1" "$d"
	rm -rf "$d"
}

# Kafka with its own program for containers, which makes settings of the variables.
kafka() {
	local d=$work/kafka
	rm -rf "$d" && cp -r "$here/kafka" "$d"
	cp -r "$engines/kafka/lib" "$d/libs"
	build "$1" "$d"
	rm -rf "$d"
}

postgres() { build "$1" "$here/postgres"; }

aws() {
	local d=$work/aws
	mkdir -p "$d"
	cat >"$d/Dockerfile" <<-'END'
		FROM debian:bookworm-slim
		RUN apt-get update && apt-get install -y --no-install-recommends awscli && rm -rf /var/lib/apt/lists/*
		ENTRYPOINT ["aws"]
	END
	build "$1" "$d"
}

# MinIO by the second half of its own Dockerfile, around the program of deploy/engines,
# which is built from the same pinned source: the first half takes 10 minutes and 3 GB.
minio() {
	local d=$work/minio
	mkdir -p "$d"
	cp "$engines/minio/minio" "$d/"
	sed -e '/^FROM golang/,/^RUN CGO/d' -e 's/^COPY --from=build .out.minio/COPY minio/' "$here/../../../../deploy/compose/Dockerfile.minio" >"$d/Dockerfile"
	build "$1" "$d"
}

image() { have "$2" || { echo "== image $2" && "$1" "$2"; }; }
image debian debian:bookworm-slim
image golang golang:1.26-bookworm
image kafka apache/kafka:4.3.1
image postgres postgres:15-bookworm
image aws amazon/aws-cli:2.17.0
image minio holdfast-minio
