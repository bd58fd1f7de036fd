# The kontoflow binary and nothing else, as a user without rights.
FROM golang:1.26.8 AS build
ARG VERSION=
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X github.com/kontoflow/kontoflow/internal/version.release=$VERSION" -o /out/kontoflow . && mkdir /out/keys

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/kontoflow /usr/local/bin/kontoflow
# A fresh volume takes over the owner of the directory that it is mounted on.
COPY --from=build --chown=nonroot:nonroot /out/keys /keys
USER nonroot
ENTRYPOINT ["/usr/local/bin/kontoflow"]
