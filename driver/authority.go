package driver

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// authority is the file of fpTLSCA: those who sign servers' certificates. Such bundles
// change while programs run, so each new connection looks whether it has, which takes one
// stat; nothing watches it in between. It is safe for concurrent use.
type authority struct {
	path string
	log  *slog.Logger
	last atomic.Pointer[bundle]
}

// bundle is what came of reading the file. It is not changed.
type bundle struct {
	roots   *x509.CertPool // of the last time that the file was good
	file    os.FileInfo    // of then
	problem string         // what is wrong with the file since; "" = nothing
}

// newAuthority reads the file for the first time. Its error names key and file.
func newAuthority(path string, log *slog.Logger) (*authority, error) {
	absolute, err := filepath.Abs(path) // as of now, wherever the program goes
	if err != nil {
		return nil, &dsnError{key: "fpTLSCA", given: path, problem: "the working directory, to which it is relative, cannot be found"}
	}
	a := &authority{path: absolute, log: log}
	first := a.look(&bundle{})
	if first.problem != "" {
		return nil, &dsnError{key: "fpTLSCA", given: path, problem: first.problem}
	}
	a.last.Store(first)
	return a, nil
}

// roots returns the authorities that the file names now. While it is broken those are in
// force that it had before, which is said once.
func (a *authority) roots() *x509.CertPool {
	last := a.last.Load()
	next := a.look(last)
	if next == last || !a.last.CompareAndSwap(last, next) {
		return a.last.Load().roots // another connection was faster
	}
	switch {
	case next.problem == "":
		a.log.Info("failoverproxy: fpTLSCA has changed and is in force for new connections", slog.String("file", a.path))
	case next.problem != last.problem:
		a.log.Warn("failoverproxy: fpTLSCA cannot be used as it is now; what it had before stays in force",
			slog.String("file", a.path), slog.String("problem", next.problem))
	}
	return next.roots
}

// look reads the file if it has changed, or was broken, and returns last if nothing is new.
func (a *authority) look(last *bundle) *bundle {
	file, err := os.Stat(a.path)
	if err == nil && last.problem == "" && last.same(file) {
		return last
	}
	next := &bundle{}
	if err == nil {
		next.roots, next.file, err = readRoots(a.path, file)
	}
	if err == nil {
		return next
	}
	if problem := fileProblem(err); problem != last.problem {
		return &bundle{roots: last.roots, file: last.file, problem: problem}
	}
	return last
}

// same reports whether the file is as it was when it was read.
func (b *bundle) same(file os.FileInfo) bool {
	return b.file != nil && os.SameFile(file, b.file) && file.ModTime().Equal(b.file.ModTime()) && file.Size() == b.file.Size()
}

// errBundle is what is wrong with a file that can be read. It says nothing of what is in it.
type errBundle string

func (e errBundle) Error() string { return string(e) }

const (
	errNoFile         errBundle = "it is a directory, or no file at all"
	errLongBundle     errBundle = "it is longer than any bundle of certificates"
	errKeyBundle      errBundle = "there is a private key in it, and no certificate: want the certificates of those who sign the servers'"
	errEmptyBundle    errBundle = "there is no certificate in it: want a PEM file with the certificates of those who sign the servers'"
	errCutBundle      errBundle = "it ends in the middle of a certificate"
	errUnusableBundle errBundle = "none of the certificates in it can be read"
)

// fileProblem is an error for messages that have named the file.
func fileProblem(err error) string {
	problem, ours := errors.AsType[errBundle](err)
	switch {
	case ours:
		return problem.Error()
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file"
	case errors.Is(err, fs.ErrPermission):
		return "this process may not read it"
	}
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		err = cause.Err
	}
	return fmt.Sprintf("it cannot be read: %v", err)
}

// longestBundle bounds what is read. That of all of RDS's regions has 165 KB.
const longestBundle = 16 << 20

// readRoots reads the file, which found is about, and says what it has read.
func readRoots(path string, found os.FileInfo) (*x509.CertPool, os.FileInfo, error) {
	if !found.Mode().IsRegular() { // opening a pipe takes as long as its other end likes
		return nil, nil, errNoFile
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	if found, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, longestBundle+1))
	if err != nil {
		return nil, nil, err
	}
	if len(text) > longestBundle {
		return nil, nil, errLongBundle
	}
	roots, err := parseRoots(text)
	return roots, found, err
}

// parseRoots takes the certificates of a PEM file. Those that Go cannot read are passed
// over, as in the system's own bundle, unless there are no others.
func parseRoots(text []byte) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	good, bad, key := 0, 0, false
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		key = key || strings.HasSuffix(block.Type, "PRIVATE KEY")
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			bad++
			continue
		}
		good++
		roots.AddCert(certificate)
	}
	switch {
	case bytes.Contains(text, []byte("-----BEGIN CERTIFICATE-----")):
		return nil, errCutBundle
	case good > 0:
		return roots, nil
	case bad > 0:
		return nil, errUnusableBundle
	case key:
		return nil, errKeyBundle
	}
	return nil, errEmptyBundle
}
