package awsauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// This file checks signatures as AWS does, without the SDK: it computes each anew from the
// request and the secret key.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

// key is an access key as AWS knows it.
type key struct {
	secret, session string
	ends            time.Time // zero = never
}

var (
	errSignature = errors.New("the signature is wrong")
	errSkewed    = errors.New("signed too far from now")
	errKey       = errors.New("no such key")
	errExpired   = errors.New("the key or the signature has expired")
)

const stamp = "20060102T150405Z"

// signed is what a signature is computed of.
type signed struct {
	method, path, query string
	headers             []string // "name:value", sorted
	payload             string   // hash
	date, scope         string
}

func (s signed) signature(secret string) string {
	names := make([]string, len(s.headers))
	for i, h := range s.headers {
		names[i], _, _ = strings.Cut(h, ":")
	}
	canonical := strings.Join([]string{s.method, s.path, s.query, strings.Join(s.headers, "\n") + "\n", strings.Join(names, ";"), s.payload}, "\n")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", s.date, s.scope, digest(canonical)}, "\n")
	mac := []byte("AWS4" + secret)
	for _, part := range append(strings.Split(s.scope, "/"), text) {
		h := hmac.New(sha256.New, mac)
		h.Write([]byte(part))
		mac = h.Sum(nil)
	}
	return hex.EncodeToString(mac)
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// credential takes ACCESSKEY/DATE/REGION/SERVICE/aws4_request apart.
func credential(text, date, region, service string) (id, scope string, err error) {
	id, scope, _ = strings.Cut(text, "/")
	if want := fmt.Sprintf("%s/%s/%s/aws4_request", date[:min(8, len(date))], region, service); scope != want {
		return id, scope, fmt.Errorf("the scope is %q, not %q: %w", scope, want, errSignature)
	}
	return id, scope, nil
}

// judgeRequest checks the signature in a request's headers.
func judgeRequest(r *http.Request, body []byte, region, service string, keys map[string]key, now time.Time) error {
	given := make(map[string]string)
	for part := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		given[name] = value
	}
	date := r.Header.Get("X-Amz-Date")
	id, scope, err := credential(given["Credential"], date, region, service)
	if err != nil {
		return err
	}
	s := signed{method: r.Method, path: r.URL.EscapedPath(), query: r.URL.RawQuery, payload: digest(string(body)), date: date, scope: scope}
	names := strings.Split(given["SignedHeaders"], ";")
	for _, name := range names {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		s.headers = append(s.headers, name+":"+strings.TrimSpace(value))
	}
	for _, must := range []string{"host", "x-amz-date", "x-amz-target"} {
		if !slices.Contains(names, must) {
			return fmt.Errorf("%s is not signed: %w", must, errSignature)
		}
	}
	k, known := keys[id]
	switch {
	case !known:
		return errKey
	case s.signature(k.secret) != given["Signature"], k.session != r.Header.Get("X-Amz-Security-Token"):
		return errSignature
	case !k.ends.IsZero() && !k.ends.After(now):
		return errExpired
	}
	if at, err := time.Parse(stamp, date); err != nil || at.Sub(now).Abs() > 5*time.Minute {
		return errSkewed
	}
	return nil
}

// judgeToken checks an IAM token as RDS does at host:port.
func judgeToken(token, hostPort, region, user string, keys map[string]key, now time.Time) error {
	u, err := url.Parse("https://" + token)
	if err != nil {
		return err
	}
	if u.Path == "" { // the SDK leaves the slash out of what it returns
		u.Path = "/"
	}
	q := u.Query()
	switch {
	case u.Host != hostPort || u.Path != "/":
		return fmt.Errorf("it is for %s%s, not %s/: %w", u.Host, u.Path, hostPort, errSignature)
	case q.Get("Action") != "connect" || q.Get("DBUser") != user:
		return fmt.Errorf("it is to %q as %q: %w", q.Get("Action"), q.Get("DBUser"), errSignature)
	case q.Get("X-Amz-Expires") != "900" || q.Get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" || q.Get("X-Amz-SignedHeaders") != "host":
		return fmt.Errorf("parameters: %w", errSignature)
	}
	id, scope, err := credential(q.Get("X-Amz-Credential"), q.Get("X-Amz-Date"), region, "rds-db")
	if err != nil {
		return err
	}
	given := q.Get("X-Amz-Signature")
	q.Del("X-Amz-Signature")
	s := signed{
		method: http.MethodGet, path: u.EscapedPath(), query: strings.ReplaceAll(q.Encode(), "+", "%20"),
		headers: []string{"host:" + u.Host}, payload: digest(""), date: q.Get("X-Amz-Date"), scope: scope,
	}
	k, known := keys[id]
	if !known {
		return errKey
	}
	if s.signature(k.secret) != given || q.Get("X-Amz-Security-Token") != k.session {
		return errSignature
	}
	at, err := time.Parse(stamp, s.date)
	if err != nil {
		return err
	}
	if now.Before(at.Add(-5*time.Minute)) || now.After(at.Add(15*time.Minute)) || !k.ends.IsZero() && !k.ends.After(now) {
		return errExpired
	}
	return nil
}
