//go:build pins

package conformance

// These imports exist for go mod tidy, which looks at them though the tag is never set:
// they keep the suites' modules in go.mod, and the sums of all that their tests import,
// one import deep, in go.sum. Nothing is compiled because of them.
import (
	_ "github.com/doug-martin/goqu/v9/dialect/mysql"
	_ "github.com/failoverproxy/failoverproxy"
	_ "github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	_ "github.com/go-gorp/gorp/v3"
	_ "github.com/go-sql-driver/mysql"
	_ "github.com/gobuffalo/pop/v6"
	_ "github.com/gocraft/dbr/v2"
	_ "github.com/jmoiron/sqlx"
	_ "github.com/shopspring/decimal"
	_ "github.com/stretchr/testify/assert"
	_ "github.com/stretchr/testify/require"
	_ "gorm.io/datatypes"
	_ "gorm.io/driver/mysql"
	_ "gorm.io/gorm"
	_ "gorm.io/plugin/dbresolver"
	_ "xorm.io/xorm"
)
