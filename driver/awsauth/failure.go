package awsauth

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/smithy-go"
)

// callError is a failure on the way to credentials. Its text has no secret in it, and its
// cause is left out if its own might.
type callError struct {
	text  string
	cause error
}

func (e *callError) Error() string { return "awsauth: " + e.text }
func (e *callError) Unwrap() error { return e.cause }

// spoken are the errors of AWS whose message says something and repeats nothing. That of
// a wrong signature quotes the whole request, the session token included.
var spoken = map[string]bool{
	"AccessDenied": true, "AccessDeniedException": true,
	"DecryptionFailure":         true,
	"ExpiredToken":              true,
	"ExpiredTokenException":     true,
	"InternalServiceError":      true,
	"InvalidClientTokenId":      true,
	"InvalidIdentityToken":      true,
	"InvalidParameterException": true, "InvalidRequestException": true,
	"RequestTimeTooSkewed":      true,
	"ResourceNotFoundException": true,
	"ServiceUnavailable":        true, "ServiceUnavailableException": true,
	"Throttling": true, "ThrottlingException": true, "TooManyRequestsException": true,
	"UnrecognizedClientException": true,
	"ValidationException":         true,
}

// expired are the errors of AWS that new credentials may help against.
var expired = map[string]bool{
	"ExpiredToken": true, "ExpiredTokenException": true,
	"InvalidClientTokenId": true, "UnrecognizedClientException": true,
}

// fail makes the error for what could not be done. advice, if not nil, says what to do
// about an error of AWS.
func fail(what string, err error, advice func(call, code string) string) error {
	if inner, ok := errors.AsType[*callError](err); ok {
		return &callError{text: what + ": " + inner.text, cause: inner.cause}
	}
	call := failed(err)
	text, cause := describe(call, err)
	if api, ok := errors.AsType[smithy.APIError](err); ok && advice != nil {
		if a := advice(call, api.ErrorCode()); a != "" {
			text += "; " + a
		}
	}
	return &callError{text: what + ": " + text, cause: cause}
}

// failed names the call of AWS that failed: the innermost one, as those for credentials are
// made within another. "" if there is none.
func failed(err error) (call string) {
	for next, ok := errors.AsType[*smithy.OperationError](err); ok; next, ok = errors.AsType[*smithy.OperationError](next.Err) {
		call = next.Service() + " " + next.Operation()
	}
	return call
}

// describe puts an error of a call into words, and returns what of it can be shown.
func describe(call string, err error) (text string, cause error) {
	if call != "" {
		call += ": "
	}
	for _, end := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, end) {
			return call + "no answer: " + end.Error(), end
		}
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		text = call + api.ErrorCode()
		if spoken[api.ErrorCode()] {
			text, cause = text+": "+strings.TrimSuffix(api.ErrorMessage(), "."), api // and not the request, which is in err
		}
		if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
			text += fmt.Sprintf(" (HTTP %d, request %q)", answer.HTTPStatusCode(), answer.ServiceRequestID())
		}
		return text, cause
	}
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return call + "the answer cannot be read", nil // it holds the answer
	}
	if process, ok := errors.AsType[*processcreds.ProviderError](err); ok && quotes(process) {
		return call + "credential_process: its output cannot be read: want one JSON object, and nothing else", nil
	}
	return err.Error(), err // which names the call itself
}

// quotes tells whether an error of a credential_process has all of its output in it, keys included,
// as that of an output has which is no JSON of the right form. Others are fixed texts, or say how
// the process ended.
func quotes(e *processcreds.ProviderError) bool {
	if errors.Unwrap(e.Err) == nil {
		return false
	}
	_, ended := errors.AsType[*exec.ExitError](e.Err)
	_, missing := errors.AsType[*exec.Error](e.Err)
	return !ended && !missing
}

// temporary tells whether a failure may be over soon: that of a network, of a service,
// of too many calls. It says nothing about the secret.
func temporary(err error) bool {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		answer, isAnswer := errors.AsType[*awshttp.ResponseError](err)
		return isAnswer && (answer.HTTPStatusCode() >= 500 || answer.HTTPStatusCode() == 429) ||
			strings.Contains(api.ErrorCode(), "Thrott") || api.ErrorCode() == "TooManyRequestsException" || expired[api.ErrorCode()]
	}
	return true
}
