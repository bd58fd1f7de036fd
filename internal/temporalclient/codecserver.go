package temporalclient

import (
	"crypto/subtle"
	"net/http"

	"go.temporal.io/sdk/converter"
)

// maxRequest is how many bytes a request to the codec server may have.
const maxRequest = 16 << 20

// CodecServer opens and seals payloads for the Temporal UI and CLI, by Temporal's protocol of codec servers: POST of
// Payloads in JSON to …/decode and …/encode. Browsers are let in from the UI's origin ("https://host:port") alone. A token
// that is not empty has to come along as a bearer's.
func CodecServer(codec *Codec, origin, token string) http.Handler {
	payloads := http.MaxBytesHandler(converter.NewPayloadCodecHTTPHandler(codec), maxRequest)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Vary", "Origin")
		header.Set("Cache-Control", "no-store")
		if from := r.Header.Get("Origin"); from != "" {
			if from != origin {
				http.Error(w, "another origin than the UI's", http.StatusForbidden)
				return
			}
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Access-Control-Allow-Credentials", "true")
		}
		if r.Method == http.MethodOptions { // a browser asks beforehand, and without the token
			header.Set("Access-Control-Allow-Methods", "POST")
			header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Namespace")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if token != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) != 1 {
			header.Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the token is missing or wrong", http.StatusUnauthorized)
			return
		}
		payloads.ServeHTTP(w, r)
	})
}
