# Stand-in for the official rust image: this machine's toolchain in the same folders.
FROM docker.io/library/debian:bookworm-slim
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends ca-certificates gcc libc6-dev \
 && apt-get clean && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /usr/local/cargo/bin \
 && for name in cargo rustc rustdoc rustfmt cargo-fmt cargo-clippy clippy-driver; do \
      ln -s /usr/local/rustup/toolchains/stable/bin/$name /usr/local/cargo/bin/$name; done
ADD toolchain.tar /usr/local/rustup/toolchains/stable/
ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo
ENV PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
