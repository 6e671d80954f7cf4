package mysqld

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/go-sql-driver/mysql"
)

// start starts the process for the first time, on another port if somebody else was
// quicker to take the one that was free.
func (s *Server) start(ctx context.Context) error {
	s.turn <- struct{}{}
	defer s.endTurn()
	if s.options.Port != 0 {
		return s.runInTurn(ctx)
	}
	var err error
	for range 3 {
		if s.Port, err = freePort(); err != nil {
			return err
		}
		if err = s.runInTurn(ctx); err == nil {
			return nil
		}
		stolen := !available(s.Port)
		release(s.Port)
		if !stolen {
			break
		}
	}
	return err
}

// runInTurn starts the process and waits until it answers.
func (s *Server) runInTurn(ctx context.Context) error {
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("mysqld: %w", err)
	}
	defer log.Close()
	p, err := s.inst.launch(log, s.inst.binary, s.command()...)
	if err != nil {
		return err
	}
	if err := s.ready(ctx, p); err != nil {
		p.kill()
		return fmt.Errorf("mysqld: %s on port %d did not start: %w; its log ends with\n%s", s.Flavor, s.Port, err, s.Log())
	}
	s.process.Store(p)
	return nil
}

// ready waits until the server lets root in, or has ended.
func (s *Server) ready(ctx context.Context, p *process) error {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = s.User, s.Password, "tcp", s.Addr()
	cfg.Timeout, cfg.ReadTimeout = time.Second, 5*time.Second
	cfg.Logger = &mysql.NopLogger{} // it would complain of every refused attempt
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	for {
		if err = s.identify(ctx, db); err == nil {
			return nil
		}
		pause := time.NewTimer(10 * time.Millisecond)
		select {
		case <-p.done:
			return fmt.Errorf("it exited (%w)", p.err)
		case <-ctx.Done():
			return fmt.Errorf("%w (last attempt: %w)", ctx.Err(), err)
		case <-pause.C:
		}
	}
}

// identify asks for the version, and makes sure that it is our server that answers and
// not one that took the port a moment before it.
func (s *Server) identify(ctx context.Context, db *sql.DB) error {
	var version, data string
	if err := db.QueryRowContext(ctx, "SELECT VERSION(), @@datadir").Scan(&version, &data); err != nil {
		return err
	}
	if filepath.Clean(data) != filepath.Join(s.inst.inside(s.dir), dataName) {
		return errors.New("another server answers on its port")
	}
	s.Version = version
	return nil
}
