# Stand-in for the official nginx image: the same folders, port and way to start.
FROM docker.io/library/debian:bookworm-slim
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends nginx-light \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /etc/nginx/sites-enabled/default \
 && mkdir -p /usr/share/nginx/html \
 && printf 'server {\n  listen 80;\n  root /usr/share/nginx/html;\n}\n' > /etc/nginx/conf.d/default.conf \
 && ln -sf /dev/stdout /var/log/nginx/access.log \
 && ln -sf /dev/stderr /var/log/nginx/error.log
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
