package programs

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// gormProgram holds two transactions and asks a question beside them.
var gormProgram = Program{Name: "gorm", Connections: 3, Lines: 200, Run: func(ctx context.Context, target Target, out *Transcript) {
	runGorm(ctx, target, out, gorm.Config{})
}}

// gormPreparedProgram is the same with GORM's own cache of prepared statements, which
// stay prepared on a *sql.DB and move with it from session to session.
var gormPreparedProgram = Program{Name: "gorm-prepared", Connections: 3, Lines: 200, Run: func(ctx context.Context, target Target, out *Transcript) {
	runGorm(ctx, target, out, gorm.Config{PrepareStmt: true, SkipDefaultTransaction: true, CreateBatchSize: 3})
}}

// noon is when everything happens that has a time.
var noon = time.Date(2024, 2, 29, 12, 34, 56, 789012000, time.UTC)

// gormRun is one run of the program.
type gormRun struct {
	context.Context
	*Transcript
	target Target
	db     *gorm.DB
}

func runGorm(ctx context.Context, target Target, out *Transcript, config gorm.Config) {
	config.TranslateError = true
	config.Logger = logger.Discard
	config.NowFunc = func() time.Time { return noon }
	r := &gormRun{Context: ctx, Transcript: out, target: target}
	out.Step("open", func() error {
		db, err := gorm.Open(mysql.New(mysql.Config{Conn: target.DB, DefaultStringSize: 191}), &config)
		if err != nil {
			return err
		}
		r.db = db.WithContext(ctx)
		var one int
		return r.db.Raw("SELECT 1").Scan(&one).Error
	})
	// All the rest would only say that there is no connection.
	if r.db == nil {
		return
	}
	// GORM's cache keeps statements prepared until it is closed.
	defer func() {
		if p, ok := r.db.ConnPool.(*gorm.PreparedStmtDB); ok {
			p.Close()
		}
	}()
	for _, step := range []struct {
		name string
		f    func() error
	}{
		{"migrate", r.migrate},
		{"create", r.create},
		{"values", r.values},
		{"errors", r.errors},
		{"upserts", r.upserts},
		{"associations", r.associations},
		{"preload", r.preload},
		{"updates", r.updates},
		{"queries", r.queries},
		{"raw", r.raw},
		{"streams", r.streams},
		{"transactions", r.transactions},
		{"savepoints", r.savepoints},
		{"locks", r.locks},
		{"concurrency", r.concurrency},
		{"cancellation", r.cancellation},
		{"connection", r.connection},
		{"driver name", r.driverName},
		{"deletes", r.deletes},
	} {
		out.Step(step.name, step.f)
	}
}

func (r *gormRun) migrate() error {
	if err := r.db.AutoMigrate(gormModels()...); err != nil {
		return err
	}
	// A second time there is nothing to do, as GORM finds out by asking the server.
	if err := r.db.AutoMigrate(gormModels()...); err != nil {
		return err
	}
	m := r.db.Migrator()
	r.Printf("database %s", m.CurrentDatabase())
	tables, err := m.GetTables()
	if err != nil {
		return err
	}
	sort.Strings(tables)
	r.Printf("tables %s", strings.Join(tables, " "))
	types, err := m.ColumnTypes(&gormUser{})
	if err != nil {
		return err
	}
	for _, c := range types {
		full, _ := c.ColumnType()
		length, _ := c.Length()
		precision, scale, _ := c.DecimalSize()
		nullable, _ := c.Nullable()
		value, ok := c.DefaultValue()
		r.Printf("column %s %s %s length %d decimal %d,%d null %t default %q %t scan %s", c.Name(), c.DatabaseTypeName(), full, length, precision, scale, nullable, value, ok, c.ScanType())
	}
	indexes, err := m.GetIndexes(&gormUser{})
	if err != nil {
		return err
	}
	names := make([]string, 0, len(indexes))
	for _, i := range indexes {
		unique, _ := i.Unique()
		names = append(names, fmt.Sprintf("%s(%s) unique %t", i.Name(), strings.Join(i.Columns(), ","), unique))
	}
	sort.Strings(names)
	r.Printf("indexes %s", strings.Join(names, "; "))
	r.Printf("constraint %t", m.HasConstraint(&gormUser{}, "Company"))
	type scratch struct {
		ID  uint
		Old string `gorm:"size:10"`
	}
	if err := m.CreateTable(&scratch{}); err != nil {
		return err
	}
	r.Error("the same table", m.CreateTable(&scratch{}))
	if err := m.RenameColumn(&scratch{}, "old", "young"); err != nil {
		return err
	}
	r.Printf("renamed: old %t young %t", m.HasColumn(&scratch{}, "old"), m.HasColumn(&scratch{}, "young"))
	r.Error("a column that is not there", m.DropColumn(&scratch{}, "old"))
	if err := m.DropColumn(&scratch{}, "young"); err != nil {
		return err
	}
	if err := m.CreateView("everyone", gorm.ViewOption{Query: r.db.Model(&gormUser{}).Select("id", "name")}); err != nil {
		return err
	}
	if err := m.RenameTable("scratches", "renamed"); err != nil {
		return err
	}
	r.Printf("table %t, renamed %t", m.HasTable("scratches"), m.HasTable("renamed"))
	return m.DropTable("renamed")
}

func (r *gormRun) create() error {
	var hooks []string
	db := r.db.WithContext(withHooks(r, &hooks))
	if err := db.Create(&[]gormJob{{State: "users"}, {State: "free"}, {State: "free"}, {State: "free"}, {State: "free"}}).Error; err != nil {
		return err
	}
	ann := gormUser{
		Name: "ann", Email: new("ann@example.com"), Balance: "12345678901234567890.0123456789", Score: new(0.1), Active: true,
		Born: new(time.Date(1990, 12, 31, 0, 0, 0, 0, time.UTC)), Seen: noon,
		Settings: map[string]any{"theme": "dark", "list": []any{1.5, "zwei", nil}, "ünï": "日本 🙂"},
		Avatar:   pattern(1000), Address: gormAddress{Street: "1 Main St", City: "Here"},
		Company: &gormCompany{Name: "acme"}, Profile: &gormProfile{Text: strings.Repeat("long ", 20000)},
		Orders: []gormOrder{
			{Number: 1, Amount: "10.50", Items: []gormItem{{Name: "a"}, {Name: "b"}}},
			{Number: 2, Amount: "0.01", Items: []gormItem{{Name: "c"}}},
		},
		Tags: []gormTag{{Name: "red"}, {Name: "green"}}, Notes: []gormNote{{Text: "first"}, {Text: "second"}},
	}
	result := db.Create(&ann)
	r.Printf("rows %d, user %d, company %d, profile %d, orders %d %d", result.RowsAffected, ann.ID, *ann.CompanyID, ann.Profile.ID, ann.Orders[0].ID, ann.Orders[1].ID)
	if result.Error != nil {
		return result.Error
	}
	users := make([]gormUser, 10)
	for i := range users {
		users[i] = gormUser{Name: fmt.Sprintf("user%02d", i), Balance: fmt.Sprintf("%d.5", i), Seen: noon.Add(time.Duration(i) * time.Hour), Settings: map[string]any{"n": i}}
	}
	result = db.CreateInBatches(users, 4)
	r.Printf("batches: rows %d, ids %d to %d, %v", result.RowsAffected, users[0].ID, users[9].ID, result.Error)
	result = db.Model(&gormTag{}).Create(map[string]any{"name": "blue"})
	r.Printf("map: rows %d, %v", result.RowsAffected, result.Error)
	result = db.Select("Name", "Seen").Create(&gormUser{Name: "few", Email: new("not written"), Seen: noon})
	r.Printf("some columns: rows %d, %v", result.RowsAffected, result.Error)
	result = db.Omit("Company", "Orders").Create(&gormUser{Name: "omit", Seen: noon, Company: &gormCompany{Name: "never"}})
	r.Printf("without associations: rows %d, %v", result.RowsAffected, result.Error)
	r.Printf("hooks %s", strings.Join(hooks, ", "))
	return r.count("after create", &gormUser{}, &gormCompany{}, &gormOrder{}, &gormItem{}, &gormTag{}, &gormNote{})
}

// count writes down how many rows the models' tables have.
func (r *gormRun) count(what string, models ...any) error {
	for _, m := range models {
		var n int64
		if err := r.db.Unscoped().Model(m).Count(&n).Error; err != nil {
			return err
		}
		r.Printf("%s: %T %d", what, m, n)
	}
	return nil
}

// show writes down a user as it was read.
func (r *gormRun) show(u gormUser) {
	born := "NULL"
	if u.Born != nil {
		born = u.Born.Format(time.RFC3339Nano)
	}
	r.Printf("%d %s email %s balance %s score %s active %t born %s seen %s settings %v avatar %s company %s city %q created %s updated %s deleted %t",
		u.ID, u.Name, null(u.Email), u.Balance, null(u.Score), u.Active, born, u.Seen.Format(time.RFC3339Nano), u.Settings, digest(u.Avatar),
		null(u.CompanyID), u.Address.City, u.CreatedAt.Format(time.RFC3339Nano), u.UpdatedAt.Format(time.RFC3339Nano), u.DeletedAt.Valid)
}

func (r *gormRun) values() error {
	var users []gormUser
	if err := r.db.Order("id").Find(&users).Error; err != nil {
		return err
	}
	for _, u := range users {
		r.show(u)
	}
	// More than one packet of the protocol can hold.
	text := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	if err := r.db.Create(&gormProfile{UserID: users[1].ID, Text: text}).Error; err != nil {
		return err
	}
	if err := r.db.Model(&users[1]).Update("avatar", pattern(3<<20)).Error; err != nil {
		return err
	}
	var back gormUser
	if err := r.db.Preload("Profile").First(&back, users[1].ID).Error; err != nil {
		return err
	}
	r.Printf("text %s, avatar %s", digest([]byte(back.Profile.Text)), digest(back.Avatar))
	var row map[string]any
	if err := r.db.Table("gorm_users").Select("*", "NULL AS avatar").Where("name = ?", "ann").Take(&row).Error; err != nil {
		return err
	}
	keys := make([]string, 0, len(row))
	for k := range row {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		r.Printf("map %s %T %v", k, row[k], row[k])
	}
	return nil
}

func (r *gormRun) errors() error {
	err := r.db.Create(&gormUser{Name: "ann", Seen: noon}).Error
	r.Error("duplicate", err)
	r.Printf("translated %t", errors.Is(err, gorm.ErrDuplicatedKey))
	err = r.db.Create(&gormItem{GormOrderID: 4711, Name: "x"}).Error
	r.Error("foreign key", err)
	r.Printf("translated %t", errors.Is(err, gorm.ErrForeignKeyViolated))
	r.Error("hook", r.db.Create(&gormUser{Seen: noon}).Error)
	r.Error("hook after the insert", r.db.Create(&gormUser{Name: "refused", Seen: noon}).Error)
	r.Error("not found", r.db.First(&gormUser{}, "name = ?", "nobody").Error)
	r.Error("no table", r.db.Table("nowhere").Find(&[]gormUser{}).Error)
	r.Error("no column", r.db.Where("nothing = ?", 1).Find(&[]gormUser{}).Error)
	r.Error("syntax", r.db.Exec("SELEKT ?", 1).Error)
	r.Error("no condition", r.db.Delete(&gormUser{}).Error)
	r.Error("too long", r.db.Create(&gormTag{Name: strings.Repeat("x", 33)}).Error)
	r.Error("out of range", r.db.Model(&gormOrder{}).Where("number = 1").Update("amount", "99999999999.99").Error)
	r.Error("bad JSON", r.db.Exec("UPDATE gorm_users SET settings = ? WHERE name = 'ann'", "{").Error)
	r.Error("bad value", r.db.Where("id = ?", struct{ X int }{1}).Find(&[]gormUser{}).Error)
	r.Error("signal", r.db.Exec("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'by hand', MYSQL_ERRNO = 30001").Error)
	return r.count("after errors", &gormUser{}, &gormItem{})
}

func (r *gormRun) upserts() error {
	user := gormUser{Name: "user00", Email: new("new@example.com"), Balance: "7", Seen: noon}
	result := r.db.Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "name"}},
		DoUpdates: clause.AssignmentColumns([]string{"email", "balance"}),
	}).Create(&user)
	r.Printf("update: rows %d, %v", result.RowsAffected, result.Error)
	result = r.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]gormTag{{Name: "red"}, {Name: "white"}})
	r.Printf("nothing: rows %d, %v", result.RowsAffected, result.Error)
	result = r.db.Clauses(clause.Insert{Modifier: "IGNORE"}).Create(&gormTag{Name: "red"})
	r.Printf("ignore: rows %d, %v", result.RowsAffected, result.Error)
	result = r.db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&gormCompany{ID: 1, Name: "acme 2"})
	r.Printf("all: rows %d, %v", result.RowsAffected, result.Error)
	result = r.db.Clauses(clause.OnConflict{DoUpdates: clause.Assignments(map[string]any{"amount": gorm.Expr("amount + VALUES(amount)")})}).
		Create(&gormOrder{UserID: 1, Number: 2, Amount: "5.00"})
	r.Printf("expression: rows %d, %v", result.RowsAffected, result.Error)
	var tag gormTag
	result = r.db.Where(gormTag{Name: "grey"}).Attrs(gormTag{ID: 100}).FirstOrCreate(&tag)
	r.Printf("first or create: rows %d, id %d, %v", result.RowsAffected, tag.ID, result.Error)
	result = r.db.Where(gormTag{Name: "grey"}).FirstOrCreate(&tag)
	r.Printf("again: rows %d, id %d, %v", result.RowsAffected, tag.ID, result.Error)
	var back gormUser
	if err := r.db.First(&back, "name = ?", "user00").Error; err != nil {
		return err
	}
	r.show(back)
	return r.count("after upserts", &gormTag{}, &gormCompany{}, &gormOrder{})
}
