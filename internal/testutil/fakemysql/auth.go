package fakemysql

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"hash"
	"sync"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// authentication is the exchange in which a client proves that it knows its
// password.
type authentication struct {
	*conn
	hello    wire.Handshake
	scramble []byte
	secure   bool   // the transport is: passwords may come as they are
	plugin   string // the account's method
}

// run returns whether the client may come in; an error if it is gone.
func (a *authentication) run(ctx context.Context) (bool, error) {
	users := *a.server.users.Load()
	password, exists := users[a.hello.User]
	if users != nil && !exists {
		return false, nil
	}
	proof, err := a.proof(ctx)
	if err != nil {
		return false, err
	}
	switch {
	case a.plugin == wire.CachingSHA2Password:
		return a.cachingSHA2(ctx, proof, password, users == nil)
	case users == nil:
		return true, nil
	case a.plugin == wire.ClearPassword:
		return bytes.Equal(proof, append([]byte(password), 0)), nil
	default:
		return bytes.Equal(proof, nativeProof(a.scramble, password)), nil
	}
}

// proof is the client's first answer by the account's method, for which the
// client may have to switch.
func (a *authentication) proof(ctx context.Context) ([]byte, error) {
	if a.hello.Plugin == a.plugin || !a.caps.Has(wire.ClientPluginAuth) {
		return a.hello.Auth, nil
	}
	a.scramble = newScramble()
	if err := a.ask(ctx, wire.AuthSwitch{Plugin: a.plugin, Scramble: a.scramble}.Append(nil)); err != nil {
		return nil, err
	}
	return a.read(ctx)
}

// cachingSHA2 is the method caching_sha2_password: a hash is enough for a user
// whose password the server has in its cache, others have to send the password.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html
func (a *authentication) cachingSHA2(ctx context.Context, proof []byte, password string, anybody bool) (bool, error) {
	if len(proof) == 0 { // an empty password goes without any exchange
		return anybody || password == "", nil
	}
	if anybody || a.server.knows(a.hello.User) {
		if !anybody && !bytes.Equal(proof, sha2Proof(a.scramble, password)) {
			return false, nil
		}
		return true, a.send(ctx, 0, wire.AppendAuthMore(nil, []byte{wire.SHA2FastSuccess}))
	}
	if err := a.ask(ctx, wire.AppendAuthMore(nil, []byte{wire.SHA2FullAuth})); err != nil {
		return false, err
	}
	answer, err := a.read(ctx)
	if err != nil {
		return false, err
	}
	var got []byte
	if a.secure {
		got = answer
	} else if got, err = a.decrypt(ctx, answer); err != nil {
		return false, err
	}
	if !bytes.Equal(got, append([]byte(password), 0)) {
		return false, nil
	}
	a.server.remember(a.hello.User)
	return true, nil
}

// decrypt gives the password that comes encrypted with the server's key, which a
// client that does not have the key asks for. nil = it cannot be decrypted.
func (a *authentication) decrypt(ctx context.Context, answer []byte) ([]byte, error) {
	key, err := a.server.rsaKey()
	if err != nil {
		return nil, err
	}
	if len(answer) == 1 && answer[0] == wire.SHA2RequestPublicKey {
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			return nil, err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		if err := a.ask(ctx, wire.AppendAuthMore(nil, text)); err != nil {
			return nil, err
		}
		if answer, err = a.read(ctx); err != nil {
			return nil, err
		}
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, answer, nil)
	if err != nil { // a wrong password, not a lost connection
		return nil, nil
	}
	for i := range plain {
		plain[i] ^= a.scramble[i%len(a.scramble)]
	}
	return plain, nil
}

// sharedKey is the key of all servers that were given none: making one takes a
// good part of a second.
var sharedKey = sync.OnceValues(func() (*rsa.PrivateKey, error) {
	return rsa.GenerateKey(rand.Reader, 2048)
})

func (s *Server) rsaKey() (*rsa.PrivateKey, error) {
	if s.cfg.RSAKey != nil {
		return s.cfg.RSAKey, nil
	}
	return sharedKey()
}

// knows tells whether the user is in caching_sha2_password's cache.
func (s *Server) knows(user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[user]
}

func (s *Server) remember(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[user] = true
}

// nativeProof is SHA1(password) XOR SHA1(scramble + SHA1(SHA1(password))), and
// nothing for an empty password.
func nativeProof(scramble []byte, password string) []byte {
	if password == "" {
		return nil
	}
	h := sha1.New()
	once := sum(h, []byte(password))
	return xor(once, sum(h, scramble, sum(h, once)))
}

// sha2Proof is SHA256(password) XOR SHA256(SHA256(SHA256(password)) + scramble).
func sha2Proof(scramble []byte, password string) []byte {
	h := sha256.New()
	once := sum(h, []byte(password))
	return xor(once, sum(h, sum(h, once), scramble))
}

func sum(h hash.Hash, parts ...[]byte) []byte {
	h.Reset()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func xor(a, b []byte) []byte {
	out := make([]byte, len(a))
	for i := range a {
		out[i] = a[i] ^ b[i]
	}
	return out
}
