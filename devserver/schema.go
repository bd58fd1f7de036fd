package main

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"go.temporal.io/server/common/auth"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	_ "go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql" // registers the plugin postgres12
	"go.temporal.io/server/tools/common/schema"
	sqltool "go.temporal.io/server/tools/sql"
)

const (
	storeDatabase      = "temporal"
	visibilityDatabase = "temporal_visibility"
)

// database is the PostgreSQL server that carries Temporal's two databases.
type database struct {
	address, user, password string
	maintenance             string // database to connect to while the two do not exist yet
	tls                     bool
}

func parseDatabase(databaseURL string) (database, error) {
	u, err := url.Parse(databaseURL)
	if err != nil || u.Host == "" {
		return database{}, fmt.Errorf("--database-url (or DATABASE_URL) has to be a URL: postgres://user:password@host:port/database")
	}
	port := u.Port()
	if port == "" {
		port = "5432"
	}
	password, _ := u.User.Password()
	mode := u.Query().Get("sslmode")
	return database{
		address:     net.JoinHostPort(u.Hostname(), port),
		user:        u.User.Username(),
		password:    password,
		maintenance: strings.TrimPrefix(u.Path, "/"),
		tls:         mode != "" && mode != "disable",
	}, nil
}

// sql is the server's own configuration for one of the databases.
func (d database) sql(name string, connections int) *config.SQL {
	c := &config.SQL{
		PluginName:      "postgres12",
		DatabaseName:    name,
		ConnectAddr:     d.address,
		ConnectProtocol: "tcp",
		User:            d.user,
		Password:        d.password,
		MaxConns:        connections,
		MaxIdleConns:    connections,
		MaxConnLifetime: time.Hour,
	}
	if d.tls {
		c.TLS = &auth.TLS{Enabled: true}
	}
	return c
}

// applySchema creates the databases where they are missing and brings them to the schema that the server module
// embeds. Running it again changes nothing.
func (d database) applySchema() error {
	for name, schemaName := range map[string]string{
		storeDatabase:      "postgresql/v12/temporal",
		visibilityDatabase: "postgresql/v12/visibility",
	} {
		if err := sqltool.DoCreateDatabase(d.sql(name, 1), d.maintenance, log.NewNoopLogger()); err != nil {
			return fmt.Errorf("creating database %s: %w", name, err)
		}
		if err := d.applyOne(name, schemaName); err != nil {
			return fmt.Errorf("applying schema of %s: %w", name, err)
		}
	}
	return nil
}

func (d database) applyOne(name, schemaName string) error {
	db, err := sqltool.NewConnection(d.sql(name, 1), log.NewNoopLogger())
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ReadSchemaVersion(); err != nil { // no version table yet
		versioning := &schema.SetupConfig{InitialVersion: "0.0"}
		if err := schema.NewSetupSchemaTask(db, versioning, log.NewNoopLogger()).Run(); err != nil {
			return err
		}
	}
	update := &schema.UpdateConfig{SchemaName: schemaName}
	return schema.NewUpdateSchemaTask(db, update, log.NewNoopLogger()).Run()
}
