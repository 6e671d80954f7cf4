package awsauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
)

// read returns what a stage has: from memory if that is fresh enough, else from Secrets
// Manager, which one asks for all. force is for what was read before it does not count.
func (s *secret) read(ctx context.Context, stage string, force bool) (held, error) {
	asked := now()
	usable := func() (held, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		h, ok := s.kept[stage]
		return h, ok && (!force && h.due.After(now()) || !h.asked.Before(asked))
	}
	if h, ok := usable(); ok {
		return h, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return held{}, ctx.Err()
	}
	if h, ok := usable(); ok {
		return h, nil
	}
	h, err := s.ask(ctx, stage, force)
	if err != nil {
		return h, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[stage] = h
	return h, nil
}

// ask asks Secrets Manager. It needs the turn. If it fails and an older value will do, it
// returns that.
func (s *secret) ask(ctx context.Context, stage string, force bool) (held, error) {
	s.mu.Lock()
	older, ok := s.kept[stage]
	s.mu.Unlock()
	inner := ctx
	if ok && !force {
		var cancel context.CancelFunc
		inner, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	start := now()
	v, err := s.fetch(inner, stage)
	if err == nil {
		ttl := s.cfg.TTL
		if stage != stageCurrent && stage != s.cfg.Stage {
			ttl = min(interim, ttl) // a rotation does not last
		}
		return held{value: v, asked: start}.lasting(start, ttl), nil
	}
	s.mu.Lock()
	s.counts.Failures++
	stale := ok && older.value != nil && !force && temporary(err)
	if stale {
		s.counts.Stale++
	}
	s.mu.Unlock()
	if !stale {
		return held{}, err
	}
	logger := s.cfg.Logger
	if logger == nil {
		logger = slog.Default()
	}
	logger.WarnContext(ctx, "failoverproxy: a secret cannot be read again; its older value is used",
		"secret", s.cfg.ID, "age", now().Sub(older.asked).Round(time.Second), "error", fail("Secrets Manager", err, s.advice).Error())
	return older.lasting(now(), min(interim, s.cfg.TTL)), nil
}

// fetch makes the call, and a second one if the AWS credentials turn out to have
// expired before their time. nil = there is no such version.
func (s *secret) fetch(ctx context.Context, stage string) (*value, error) {
	if s.cfg.ID == "" {
		return nil, errors.New("SecretConfig.ID is empty")
	}
	cfg, err := s.account.config(ctx)
	if err != nil {
		return nil, fail("AWS configuration", err, nil)
	}
	client, err := s.connect(cfg)
	if err != nil {
		return nil, err
	}
	input := &secretsmanager.GetSecretValueInput{SecretId: aws.String(s.cfg.ID), VersionStage: aws.String(stage)}
	out, err := s.call(ctx, client, input)
	if api, ok := errors.AsType[smithy.APIError](err); ok && expired[api.ErrorCode()] && forget(cfg) {
		out, err = s.call(ctx, client, input)
	}
	if _, absent := errors.AsType[*types.ResourceNotFoundException](err); absent && stage != stageCurrent {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.value(stage, out)
}

func (s *secret) call(ctx context.Context, client *secretsmanager.Client, input *secretsmanager.GetSecretValueInput) (*secretsmanager.GetSecretValueOutput, error) {
	s.mu.Lock()
	s.counts.Calls++
	s.mu.Unlock()
	return client.GetSecretValue(ctx, input)
}

// connect makes the client at its first use. It is kept: it learns how wrong the
// clock is.
func (s *secret) connect(cfg *aws.Config) (*secretsmanager.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	region, err := s.region(cfg)
	if err != nil {
		return nil, err
	}
	s.client = secretsmanager.NewFromConfig(*cfg, func(o *secretsmanager.Options) { o.Region = region })
	return s.client, nil
}

// value is what an answer holds. A version that is known is not read again: it never
// changes.
func (s *secret) value(stage string, out *secretsmanager.GetSecretValueOutput) (*value, error) {
	version := aws.ToString(out.VersionId)
	s.mu.Lock()
	for _, h := range s.kept {
		if h.value != nil && h.value.version == version && version != "" {
			s.mu.Unlock()
			return h.value, nil
		}
	}
	s.mu.Unlock()
	text := out.SecretBinary
	if out.SecretString != nil {
		text = []byte(*out.SecretString)
	}
	user, password, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("version %q (%s): %w", version, stage, err)
	}
	s.mu.Lock()
	s.counts.Changes++
	s.mu.Unlock()
	return &value{version: version, user: user, password: password}, nil
}
