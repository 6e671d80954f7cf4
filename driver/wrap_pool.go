package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"
)

// lender makes connections of a pool's: it takes new ones out of it, for as long as they are
// needed. So they count as the pool's own, are made with all that it has, and nothing of the
// program's use of it is in them.
type lender struct{ db *sql.DB }

func (l lender) connect(ctx context.Context) (driver.Conn, func() error, error) {
	c, err := l.fresh(ctx)
	if err != nil {
		return nil, nil, err
	}
	// A connection may be used only while Raw calls a function: so that lasts until it is
	// given back, as one that the pool has to close.
	lent, back := make(chan any, 1), make(chan struct{})
	var lending sync.WaitGroup
	lending.Go(func() {
		defer close(lent)
		_ = c.Raw(func(inner any) error {
			lent <- inner
			<-back
			return driver.ErrBadConn
		})
		_ = c.Close()
	})
	release := sync.OnceValue(func() error {
		close(back)
		lending.Wait()
		return nil
	})
	inner, err := unwrap(<-lent)
	if err != nil {
		_ = release()
		return nil, nil, err
	}
	return inner, release, nil
}

// fresh takes a connection that nobody has used. Those that were used are held until there is one, or
// closed if the pool has no room for it.
func (l lender) fresh(ctx context.Context) (*sql.Conn, error) {
	var used []*sql.Conn
	defer func() {
		for _, c := range used {
			_ = c.Close()
		}
	}()
	for {
		c, err := l.db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		isNew, err := untouched(c)
		switch s := l.db.Stats(); {
		case err != nil:
			_ = c.Close()
			return nil, err
		case isNew:
			return c, nil
		case s.MaxOpenConnections > 0 && s.OpenConnections >= s.MaxOpenConnections:
			_ = c.Raw(func(any) error { return driver.ErrBadConn })
		default:
			used = append(used, c)
		}
	}
}

// untouched reports whether nobody has had the connection before: database/sql notes that with the first
// use. There is no other way to know that no variable is set and no temporary table is there.
func untouched(c *sql.Conn) (bool, error) {
	if dc := reflect.ValueOf(c).Elem().FieldByName("dc"); dc.IsValid() && dc.Kind() == reflect.Pointer && !dc.IsNil() {
		if f := reflect.Indirect(dc).FieldByName("needReset"); f.IsValid() && f.Kind() == reflect.Bool {
			return !f.Bool(), nil
		}
	}
	return false, errors.New("failoverproxy: this version of database/sql does not tell which of a pool's connections are new: use driver.WrapConnector")
}

// keepLimits gives cfg the limits of pools. Those that nobody has set are as in [NewConfig].
// database/sql shows only one of them; what it has under another name one day is not kept.
func keepLimits(cfg *Config, sources []*source) {
	largest := 0
	for _, s := range sources {
		if s.db == nil {
			return
		}
		limit := s.db.Stats().MaxOpenConnections
		if limit <= 0 {
			limit = int(cfg.PoolSize)
		}
		largest = max(largest, limit)
	}
	cfg.PoolSize = Size(min(largest, maxConnections))
	db := reflect.ValueOf(sources[0].db).Elem()
	number := func(field string) int64 {
		if f := db.FieldByName(field); f.IsValid() && f.CanInt() {
			return f.Int()
		}
		return 0
	}
	if idle := number("maxIdleCount"); idle != 0 {
		cfg.PoolMaxIdle = Size(min(max(idle, 0), int64(cfg.PoolSize)))
	}
	if d := time.Duration(number("maxLifetime")); d > 0 {
		cfg.PoolMaxLifetime = d
	}
	if d := time.Duration(number("maxIdleTime")); d > 0 {
		cfg.PoolIdleTimeout = d
	}
}

// together is how many connections pools may have together, 0 if one has no limit.
func together(sources []*source) (n int) {
	for _, s := range sources {
		limit := s.db.Stats().MaxOpenConnections
		if limit <= 0 {
			return 0
		}
		n += limit
	}
	return n
}

// leaveRoom keeps one of the pool's connections for the monitor, and one to stop statements with.
func (s *source) leaveRoom(cfg *Config) error {
	limit := s.db.Stats().MaxOpenConnections
	if limit <= 0 {
		return nil
	}
	if limit == 1 {
		return errors.New("its MaxOpenConns is 1, and the cluster's monitor needs a second connection")
	}
	if limit == 2 {
		cfg.CancelQuery = false
	}
	room := limit - 1
	if cfg.CancelQuery {
		room--
	}
	switch {
	case int(cfg.PoolSize) == limit: // as it was told
		cfg.PoolSize = Size(room)
	case cfg.PoolSize.IsPercent() || int(cfg.PoolSize) > room:
		return fmt.Errorf("fpPoolSize is %s, and of its MaxOpenConns, %d, there are %d to be had", cfg.PoolSize, limit, room)
	}
	if !cfg.PoolMaxIdle.IsPercent() {
		cfg.PoolMaxIdle = min(cfg.PoolMaxIdle, cfg.PoolSize)
	}
	return nil
}
