package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/models"
)

// message is the body of a delivery (docs/api.md).
type message struct {
	NotificationID uuid.UUID       `json:"notification_id"`
	ObserveKey     string          `json:"observe_key"`
	State          *string         `json:"state,omitempty"`
	EventID        uuid.UUID       `json:"event_id"`
	CreatedAt      string          `json:"created_at"`
	Data           json.RawMessage `json:"data"`
}

// attempt posts a delivery and answers what went wrong, as one word: nothing that the receiver said, and nothing of its
// address, goes further than here.
func (d *Deliverer) attempt(ctx context.Context, n *models.Notification, to *models.Target, of *models.Delivery) (failure string) {
	body, err := json.Marshal(message{n.ID, of.ObserveKey, n.State, of.ID, models.WireTime(of.CreatedAt), of.Data})
	if err != nil {
		return "MALFORMED"
	}
	now := d.store.Now()
	signature, err := sign(to.Secrets(now), of.ID.String(), now, body)
	if err != nil {
		return "MALFORMED"
	}
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URI, bytes.NewReader(body))
	if err != nil {
		return "MALFORMED"
	}
	request.Header = http.Header{
		"Content-Type":      {"application/json"},
		"User-Agent":        {"Kontoflow"},
		"Webhook-Id":        {of.ID.String()},
		"Webhook-Timestamp": {timestamp(now)},
		"Webhook-Signature": {signature},
	}
	response, err := d.transport.RoundTrip(request)
	if err != nil {
		return classify(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // it has answered: what it says does not matter
	if response.StatusCode >= 200 && response.StatusCode < 400 {
		return ""
	}
	return fmt.Sprintf("HTTP_%d", response.StatusCode)
}

// classify is what went wrong before there was an answer.
func classify(err error) string {
	var name *net.DNSError
	var network *net.OpError
	var timeout net.Error
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var header tls.RecordHeaderError
	var host x509.HostnameError
	switch {
	case errors.Is(err, errPrivate):
		return "PRIVATE_ADDRESS"
	case errors.As(err, &name):
		return "UNKNOWN_HOST"
	case errors.As(err, &certificate), errors.As(err, &alert), errors.As(err, &header), errors.As(err, &host):
		return "TLS"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "TIMEOUT"
	case errors.As(err, &network) && network.Op == "dial":
		return "UNREACHABLE"
	default:
		return "BROKEN" // off in the middle, or not HTTP
	}
}

// ofHost reports whether a failure says something about the receiver's host: the others concern one address there, or
// one notification, and those of other users may be fine.
func ofHost(failure string) bool {
	switch failure {
	case "UNKNOWN_HOST", "UNREACHABLE", "TLS", "TIMEOUT", "BROKEN", "HTTP_429":
		return true
	}
	return strings.HasPrefix(failure, "HTTP_5")
}
