package programs

import (
	"database/sql"
	"fmt"
	"sort"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

func (r *gormRun) associations() error {
	var ann gormUser
	if err := r.db.First(&ann, "name = ?", "ann").Error; err != nil {
		return err
	}
	// One that has been used is not to be used again.
	tags := func() *gorm.Association { return r.db.Model(&ann).Association("Tags") }
	r.Printf("tags %d", tags().Count())
	if err := tags().Append(&gormTag{Name: "pink"}); err != nil {
		return err
	}
	var red gormTag
	if err := r.db.First(&red, "name = ?", "red").Error; err != nil {
		return err
	}
	if err := tags().Delete(&red); err != nil {
		return err
	}
	var found []gormTag
	if err := r.db.Model(&ann).Order("name").Association("Tags").Find(&found); err != nil {
		return err
	}
	r.Printf("tags %v", found)
	if err := tags().Replace(&red, &gormTag{Name: "gold"}); err != nil {
		return err
	}
	r.Printf("replaced %d", tags().Count())
	if err := tags().Clear(); err != nil {
		return err
	}
	r.Printf("cleared %d", tags().Count())
	if err := tags().Append(&red); err != nil {
		return err
	}
	if err := r.db.Model(&ann).Association("Company").Replace(&gormCompany{Name: "other"}); err != nil {
		return err
	}
	return r.count("after associations", &gormTag{}, &gormCompany{})
}

func (r *gormRun) preload() error {
	var users []gormUser
	err := r.db.Preload(clause.Associations).Preload("Orders.Items", func(db *gorm.DB) *gorm.DB { return db.Order("name DESC") }).
		Preload("Orders", "amount > ?", 1).Where("id < ?", 4).Order("id").Find(&users).Error
	if err != nil {
		return err
	}
	for _, u := range users {
		company := "none"
		if u.Company != nil {
			company = u.Company.Name
		}
		r.Printf("%s of %s: %d orders, %v tags, %d notes, profile %t", u.Name, company, len(u.Orders), u.Tags, len(u.Notes), u.Profile != nil)
		for _, o := range u.Orders {
			r.Printf("order %d %s %v", o.Number, o.Amount, o.Items)
		}
	}
	var joined []gormUser
	if err := r.db.Joins("Company").Joins("Profile").Where("`Company`.`name` LIKE ?", "%e%").Order("gorm_users.id").Find(&joined).Error; err != nil {
		return err
	}
	for _, u := range joined {
		r.Printf("joined %s %s %d", u.Name, u.Company.Name, len(u.Profile.Text))
	}
	return nil
}

func (r *gormRun) updates() error {
	var hooks []string
	db := r.db.WithContext(withHooks(r, &hooks))
	var user gormUser
	if err := db.First(&user, "name = ?", "user05").Error; err != nil {
		return err
	}
	user.Balance = "55.5"
	user.Email = new("five@example.com")
	r.rows("save", db.Save(&user))
	r.rows("the same again", db.Model(&user).Update("balance", "55.5"))
	r.rows("map", db.Model(&user).Updates(map[string]any{"active": false, "score": nil}))
	r.rows("struct", db.Model(&user).Updates(gormUser{Address: gormAddress{City: "There"}}))
	r.rows("expression", db.Model(&gormUser{}).Where("name LIKE ?", "user%").Update("balance", gorm.Expr("balance * ? + 1", 2)))
	r.rows("column only", db.Model(&gormUser{}).Where("name IN ?", []string{"user01", "user02"}).UpdateColumn("score", 1e300))
	r.rows("select", db.Model(&user).Select("Email", "Active").Updates(gormUser{Name: "ignored"}))
	r.rows("none", db.Model(&gormUser{}).Where("name = ?", "nobody").Update("active", true))
	r.rows("by subquery", db.Model(&gormOrder{}).Where("user_id IN (?)", r.db.Model(&gormUser{}).Select("id").Where("name = ?", "ann")).Update("amount", gorm.Expr("amount + 1")))
	r.Printf("hooks %s", strings.Join(hooks, ", "))
	var back gormUser
	if err := r.db.First(&back, user.ID).Error; err != nil {
		return err
	}
	r.show(back)
	return nil
}

// rows writes down what a statement did.
func (r *gormRun) rows(what string, result *gorm.DB) {
	if result.Error != nil {
		r.Error(what, result.Error)
		return
	}
	r.Printf("%s: rows %d", what, result.RowsAffected)
}

func (r *gormRun) queries() error {
	var names []string
	if err := r.db.Model(&gormUser{}).Where("balance > ?", "10").Order("balance DESC, name").Limit(4).Offset(1).Pluck("name", &names).Error; err != nil {
		return err
	}
	r.Printf("names %v", names)
	type group struct {
		City  string
		Count int64
		Sum   string
		Top   sql.NullFloat64
	}
	var groups []group
	if err := r.db.Model(&gormUser{}).Select("address_city AS city, COUNT(*) AS count, SUM(balance) AS sum, MAX(score) AS top").
		Group("address_city").Having("COUNT(*) > ?", 0).Order("city").Scan(&groups).Error; err != nil {
		return err
	}
	for _, g := range groups {
		r.Printf("group %q %d %s %v", g.City, g.Count, g.Sum, g.Top)
	}
	var exists bool
	if err := r.db.Raw("SELECT EXISTS (SELECT 1 FROM gorm_users WHERE name = @name AND deleted_at IS NULL)", sql.Named("name", "ann")).Scan(&exists).Error; err != nil {
		return err
	}
	r.Printf("exists %t", exists)
	var users []gormUser
	if err := r.db.Where(r.db.Where("name = ?", "ann").Or("name = ?", "few")).Not("active = ?", false).Select("name").Order("name").Find(&users).Error; err != nil {
		return err
	}
	for _, u := range users {
		r.Printf("either %s", u.Name)
	}
	var theme []string
	if err := r.db.Model(&gormUser{}).Where("JSON_UNQUOTE(JSON_EXTRACT(settings, '$.theme')) = ?", "dark").Pluck("name", &theme).Error; err != nil {
		return err
	}
	r.Printf("dark %v", theme)
	var n int64
	if err := r.db.Model(&gormUser{}).Distinct("address_city").Count(&n).Error; err != nil {
		return err
	}
	r.Printf("cities %d", n)
	var recent []string
	if err := r.db.Table("gorm_users").Where("seen BETWEEN ? AND ?", noon, noon.AddDate(0, 0, 1)).Order("id").Pluck("name", &recent).Error; err != nil {
		return err
	}
	r.Printf("seen %v", recent)
	return nil
}

func (r *gormRun) raw() error {
	// MySQL cannot prepare this one, so it does not go through GORM.
	if _, err := r.target.DB.ExecContext(r, "CREATE PROCEDURE two(IN n INT) BEGIN SELECT n AS n; SELECT n + 1 AS n, 'more' AS t; END"); err != nil {
		return err
	}
	rows, err := r.db.Raw("CALL two(?)", 41).Rows()
	if err != nil {
		return err
	}
	defer rows.Close()
	for more := true; more; more = rows.NextResultSet() {
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(string)
			}
			if err := rows.Scan(values...); err != nil {
				return err
			}
			var line strings.Builder
			for i := range values {
				line.WriteString(fmt.Sprintf(" %s=%s", columns[i], *values[i].(*string)))
			}
			r.Printf("result%s", line.String())
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if _, err := r.target.DB.ExecContext(r, "CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC NO SQL RETURN n * 2"); err != nil {
		return err
	}
	var n int
	if err := r.db.Raw("SELECT twice(?) + LENGTH(?)", 21, "abc").Row().Scan(&n); err != nil {
		return err
	}
	r.Printf("twice %d", n)
	var day sql.NullTime
	if err := r.db.Raw("SELECT CAST(NULL AS DATETIME)").Row().Scan(&day); err != nil {
		return err
	}
	r.Printf("null time %v", day)
	r.rows("truncate", r.db.Exec("TRUNCATE TABLE gorm_notes"))
	dry := r.db.Session(&gorm.Session{DryRun: true}).Where("name = ?", "x").Find(&gormUser{})
	r.Printf("dry run %s %v", dry.Statement.SQL.String(), dry.Statement.Vars)
	return nil
}

// streams reads rows while other statements run beside them.
func (r *gormRun) streams() error {
	rows, err := r.db.Model(&gormUser{}).Where("name LIKE ?", "user%").Order("id").Rows()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var u gormUser
		if err := r.db.ScanRows(rows, &u); err != nil {
			return err
		}
		var longer int64
		if err := r.db.Model(&gormUser{}).Where("seen > ?", u.Seen).Count(&longer).Error; err != nil {
			return err
		}
		r.Printf("row %s, %d seen later", u.Name, longer)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var batch []gormUser
	result := r.db.Where("id > ?", 2).FindInBatches(&batch, 5, func(tx *gorm.DB, n int) error {
		names := make([]string, 0, len(batch))
		for _, u := range batch {
			names = append(names, u.Name)
		}
		sort.Strings(names)
		r.Printf("batch %d: %d rows %v", n, tx.RowsAffected, names)
		return nil
	})
	r.rows("batches", result)
	// Given up before its end.
	early, err := r.db.Raw("SELECT a.id FROM gorm_users a, gorm_users b, gorm_users c").Rows()
	if err != nil {
		return err
	}
	early.Next()
	r.Printf("closed early: %v %v", early.Close(), early.Err())
	return nil
}
