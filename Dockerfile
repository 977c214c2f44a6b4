# The program and nothing else. Build the program first:
#
#	make dist && docker build --tag rollcall .
#
# The daemon listens on loopback only unless told, so give it a network: share that of
# the program that uses it (a pod, --network container:NAME), or pass --http 0.0.0.0:8500
# with tokens and TLS. The image has no certificate authorities. For rediss:// with a
# public one, mount the host's at /etc/ssl/certs, or name a file by ca_file in the URL.
FROM scratch
ARG TARGETARCH
COPY --chmod=0555 dist/rollcall_*_linux_${TARGETARCH} /rollcall
USER 65532:65532
EXPOSE 8500
ENTRYPOINT ["/rollcall"]
CMD ["serve"]
