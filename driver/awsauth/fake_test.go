package awsauth

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const (
	region   = "eu-west-1"
	secretID = "prod/shop"
)

// manager is a Secrets Manager with one secret. It believes no request whose signature it
// cannot compute itself.
type manager struct {
	keys map[string]key // fixed
	off  time.Duration  // of its clock; fixed
	wait time.Duration  // before each answer; fixed

	mu       sync.Mutex
	versions map[string]any    // SecretString, or SecretBinary as bytes
	stages   map[string]string // label → version
	faults   []fault           // of the next requests
	asked    []string          // stages, of all requests that were believed
	refused  []string          // codes of all others
}

// fault is an answer that is no secret.
type fault struct {
	status     int
	code, text string
	hang       bool
}

func newManager(user, password string) *manager {
	m := &manager{
		wait:     time.Millisecond, // tells what was asked before from what is asked after
		keys:     map[string]key{accessKey: {secret: secretKey, session: sessionKey}},
		versions: make(map[string]any), stages: make(map[string]string),
	}
	m.put("v1", user, password)
	m.label(stageCurrent, "v1")
	return m
}

// rdsSecret is a secret as RDS writes it.
func rdsSecret(user, password string) string {
	text, err := json.Marshal(map[string]any{
		"engine": "mysql", "username": user, "password": password, "host": "elsewhere", "port": 3306, "dbClusterIdentifier": "shop",
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (m *manager) put(version, user, password string) { m.set(version, rdsSecret(user, password)) }

func (m *manager) set(version string, text any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.versions[version] = text
}

// label moves a label to a version; "" takes it away.
func (m *manager) label(stage, version string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if version == "" {
		delete(m.stages, stage)
		return
	}
	m.stages[stage] = version
}

func (m *manager) fail(f ...fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = f
}

// requests returns the stages that were asked for, and the codes of refusals, since the last call.
func (m *manager) requests() (asked, refused string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked, refused = strings.Join(m.asked, " "), strings.Join(m.refused, " ")
	m.asked, m.refused = nil, nil
	return asked, refused
}

func (m *manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	time.Sleep(m.wait)
	clock := time.Now().Add(m.off).UTC()
	w.Header().Set("Date", clock.Format(http.TimeFormat))
	w.Header().Set("X-Amzn-Requestid", "request-1")
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	f, answer := m.judge(r, body, clock)
	switch {
	case f == nil:
		_ = json.NewEncoder(w).Encode(answer)
	case f.hang:
		<-r.Context().Done()
	default:
		w.WriteHeader(f.status)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": f.code, "message": f.text})
	}
}

// judge decides what a request is answered.
func (m *manager) judge(r *http.Request, body []byte, clock time.Time) (f *fault, answer map[string]any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() {
		if f != nil {
			m.refused = append(m.refused, f.code)
		}
	}()
	switch err := judgeRequest(r, body, region, "secretsmanager", m.keys, clock); {
	case err == nil:
	case errors.Is(err, errSkewed):
		return &fault{status: 400, code: "InvalidSignatureException", text: "Signature expired: " + r.Header.Get("X-Amz-Date")}, nil
	case errors.Is(err, errKey):
		return &fault{status: 400, code: "UnrecognizedClientException", text: "The security token included in the request is invalid."}, nil
	case errors.Is(err, errExpired):
		return &fault{status: 400, code: "ExpiredTokenException", text: "The security token included in the request is expired"}, nil
	default: // AWS quotes the request
		return &fault{status: 400, code: "InvalidSignatureException", text: "The Canonical String should have been x-amz-security-token:" + r.Header.Get("X-Amz-Security-Token")}, nil
	}
	if len(m.faults) > 0 {
		next := m.faults[0]
		m.faults = m.faults[1:]
		return &next, nil
	}
	var input struct {
		ID           string `json:"SecretId"`
		VersionStage string
	}
	if err := json.Unmarshal(body, &input); err != nil || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" {
		return &fault{status: 400, code: "InvalidParameterException"}, nil
	}
	m.asked = append(m.asked, input.VersionStage)
	version, ok := m.stages[input.VersionStage]
	if !ok || input.ID != secretID {
		return &fault{status: 400, code: "ResourceNotFoundException", text: "Secrets Manager can't find the specified secret value for staging label: " + input.VersionStage}, nil
	}
	answer = map[string]any{"Name": secretID, "VersionId": version, "VersionStages": []string{input.VersionStage}}
	if binary, ok := m.versions[version].([]byte); ok {
		answer["SecretBinary"] = binary
	} else {
		answer["SecretString"] = m.versions[version]
	}
	return nil, answer
}

// Do answers without a network: for bubbles of synctest.
func (m *manager) Do(r *http.Request) (*http.Response, error) {
	r.Host = r.URL.Host
	w := httptest.NewRecorder()
	if m.ServeHTTP(w, r); r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	return w.Result(), nil
}

// config is an AWS configuration for it, with the SDK's own retries but shorter pauses.
func (m *manager) config() *aws.Config {
	return &aws.Config{
		Region: region, Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, sessionKey), HTTPClient: m,
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 20 * time.Millisecond })
		},
	}
}

// served is the same over HTTP.
func (m *manager) served(t testing.TB) *aws.Config {
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	cfg := m.config()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	cfg.HTTPClient, cfg.BaseEndpoint = client, aws.String(server.URL)
	return cfg
}
