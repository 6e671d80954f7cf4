package sqlscan

import (
	"strings"
	"sync"
)

// Cache remembers what was found out about texts. It is safe for concurrent use.
//
// It is bounded by number and by length of the texts. When it is full, it makes room
// by dropping a few entries, whichever the map comes upon: statements that an
// application repeats come back at once, those with literals in them are gone anyway.
type Cache struct {
	entries, longest int

	mu    sync.RWMutex
	facts map[key]Facts
}

type key struct {
	text string
	mode Mode
}

// NewCache makes a cache of that many entries at most. Texts longer than longest bytes
// are scanned each time.
func NewCache(entries, longest int) *Cache {
	return &Cache{entries: max(entries, 1), longest: longest, facts: make(map[key]Facts)}
}

// Scan is [Scan], remembered.
func (c *Cache) Scan(text string, mode Mode) Facts {
	if len(text) > c.longest {
		return Scan(text, mode)
	}
	k := key{text, mode}
	c.mu.RLock()
	f, ok := c.facts[k]
	c.mu.RUnlock()
	if ok {
		return f
	}
	f = Scan(text, mode)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.facts) >= c.entries {
		drop := 1 + c.entries/64
		for old := range c.facts {
			if delete(c.facts, old); drop == 1 {
				break
			}
			drop--
		}
	}
	// The text may be a piece of a much larger string.
	c.facts[key{strings.Clone(text), mode}] = f
	return f
}
