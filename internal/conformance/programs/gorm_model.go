package programs

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// The tables of the GORM program: every kind of association, and a column of every kind
// of value that a driver treats in its own way.
type gormCompany struct {
	ID    uint       `gorm:"primaryKey"`
	Name  string     `gorm:"size:64;uniqueIndex:company_name"`
	Users []gormUser `gorm:"foreignKey:CompanyID"`
}

type gormUser struct {
	ID        uint    `gorm:"primaryKey"`
	Name      string  `gorm:"size:64;uniqueIndex:user_name"`
	Email     *string `gorm:"size:128;index:user_email"`
	Balance   string  `gorm:"type:decimal(30,10);not null;default:0"`
	Score     *float64
	Active    bool              `gorm:"default:true"`
	Born      *time.Time        `gorm:"type:date"`
	Seen      time.Time         `gorm:"type:datetime(6)"`
	Settings  map[string]any    `gorm:"type:json;serializer:json"`
	Avatar    []byte            `gorm:"type:longblob"`
	CompanyID *uint             `gorm:"index"`
	Company   *gormCompany      `gorm:"constraint:OnUpdate:CASCADE,OnDelete:SET NULL"`
	Profile   *gormProfile      `gorm:"foreignKey:UserID;constraint:OnDelete:CASCADE"`
	Orders    []gormOrder       `gorm:"foreignKey:UserID"`
	Tags      []gormTag         `gorm:"many2many:gorm_user_tags"`
	Notes     []gormNote        `gorm:"polymorphic:Owner"`
	Address   gormAddress       `gorm:"embedded;embeddedPrefix:address_"`
	CreatedAt time.Time         `gorm:"precision:3"`
	UpdatedAt time.Time         `gorm:"precision:3"`
	DeletedAt gorm.DeletedAt    `gorm:"index"`
	Extra     map[string]string `gorm:"-"`
}

type gormAddress struct {
	Street string `gorm:"size:64"`
	City   string `gorm:"size:64"`
}

type gormProfile struct {
	ID     uint `gorm:"primaryKey"`
	UserID uint
	Text   string `gorm:"type:longtext"`
}

type gormOrder struct {
	ID     uint `gorm:"primaryKey"`
	UserID uint
	Number int64  `gorm:"uniqueIndex:order_number"`
	Amount string `gorm:"type:decimal(12,2)"`
	Items  []gormItem
}

type gormItem struct {
	ID          uint `gorm:"primaryKey"`
	GormOrderID uint
	Name        string `gorm:"size:64"`
}

type gormTag struct {
	ID   uint   `gorm:"primaryKey"`
	Name string `gorm:"size:32;unique"`
}

type gormNote struct {
	ID        uint `gorm:"primaryKey"`
	OwnerID   uint
	OwnerType string `gorm:"size:32"`
	Text      string `gorm:"size:255"`
}

// gormJob is a queue, for row locks.
type gormJob struct {
	ID    uint   `gorm:"primaryKey"`
	State string `gorm:"size:16;index"`
	Owner string `gorm:"size:16"`
	Count int
}

type hooksKey struct{}

// note appends to the list of hooks that were called, where the context has one.
func note(tx *gorm.DB, what string) {
	if list, ok := tx.Statement.Context.Value(hooksKey{}).(*[]string); ok {
		*list = append(*list, what)
	}
}

func withHooks(ctx context.Context, list *[]string) context.Context {
	return context.WithValue(ctx, hooksKey{}, list)
}

func (u *gormUser) BeforeSave(tx *gorm.DB) error   { note(tx, "before save "+u.Name); return nil }
func (u *gormUser) AfterSave(tx *gorm.DB) error    { note(tx, "after save "+u.Name); return nil }
func (u *gormUser) BeforeUpdate(tx *gorm.DB) error { note(tx, "before update "+u.Name); return nil }
func (u *gormUser) BeforeDelete(tx *gorm.DB) error { note(tx, "before delete "+u.Name); return nil }
func (u *gormUser) AfterFind(tx *gorm.DB) error    { note(tx, "after find "+u.Name); return nil }

func (u *gormUser) BeforeCreate(tx *gorm.DB) error {
	note(tx, "before create "+u.Name)
	if u.Name == "" {
		return fmt.Errorf("a user needs a name")
	}
	return nil
}

// AfterCreate writes in the transaction that the user is created in.
func (u *gormUser) AfterCreate(tx *gorm.DB) error {
	note(tx, "after create "+u.Name)
	if u.Name == "refused" {
		return fmt.Errorf("%s is refused", u.Name)
	}
	return tx.Model(&gormJob{}).Where("state = ?", "users").UpdateColumn("count", gorm.Expr("count + 1")).Error
}

// gormModels are the tables in the order in which they can be created.
func gormModels() []any {
	return []any{
		&gormCompany{}, &gormUser{}, &gormProfile{}, &gormOrder{}, &gormItem{}, &gormTag{}, &gormNote{}, &gormJob{},
	}
}
