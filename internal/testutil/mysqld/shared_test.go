package mysqld

import "testing"

func TestShared(t *testing.T) {
	for _, f := range flavors {
		t.Run(f.String(), func(t *testing.T) {
			var first *Server
			var databases []string
			for range 2 {
				t.Run("database", func(t *testing.T) {
					s, database := Shared(t, f)
					if first == nil {
						first = s
					}
					if s != first {
						t.Error("a second server was started")
					}
					if got := ask(t, open(t, s.DSN(database)), "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()"); got != "0" {
						t.Errorf("%s tables are in it already", got)
					}
					if err := s.Exec(t.Context(), "CREATE TABLE "+database+".t (i INT)"); err != nil {
						t.Error(err)
					}
					databases = append(databases, database)
				})
			}
			if first == nil {
				t.Skip("no server")
			}
			if databases[0] == databases[1] {
				t.Errorf("both tests had %s", databases[0])
			}
			if got := ask(t, open(t, first.DSN("")), "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name IN ('"+databases[0]+"', '"+databases[1]+"')"); got != "0" {
				t.Errorf("%s of the databases were not dropped", got)
			}
		})
	}
}
