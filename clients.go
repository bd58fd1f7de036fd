package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/models"
)

type clientCommand struct {
	Create clientCreateCommand `cmd:"" help:"Create a client and print its secret, this once."`
	Change clientChangeCommand `cmd:"" help:"Change what a client may do. What is not named stays."`
	List   clientListCommand   `cmd:"" help:"List the clients."`
}

// clientSettings are what an operator decides about a client.
type clientSettings struct {
	Family *bool `negatable:"" help:"It was written for the finX / figo family of APIs: a token alone deletes its user (docs/security.md)."`
}

func (c clientSettings) change() models.ClientChange { return models.ClientChange{Family: c.Family} }

type clientCreateCommand struct {
	databaseSettings
	clientSettings
	Name string `arg:"" help:"What operators call it; unique."`
	JSON bool   `help:"Print id and secret as JSON."`
}

func (c *clientCreateCommand) Run(ctx context.Context) error {
	store, err := models.Open(ctx, c.DatabaseURL, nil)
	if err != nil {
		return err
	}
	defer store.Close()
	client, secret, err := store.CreateClient(ctx, c.Name, c.change())
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(map[string]string{"id": client.ID.String(), "secret": secret})
	}
	fmt.Printf("id      %s\nsecret  %s\n", client.ID, secret)
	return nil
}

type clientChangeCommand struct {
	databaseSettings
	clientSettings
	ID uuid.UUID `arg:"" help:"The client's id."`
}

func (c *clientChangeCommand) Run(ctx context.Context) error {
	store, err := models.Open(ctx, c.DatabaseURL, nil)
	if err != nil {
		return err
	}
	defer store.Close()
	_, err = store.ChangeClient(ctx, c.ID, c.change())
	return err
}

type clientListCommand struct{ databaseSettings }

func (c *clientListCommand) Run(ctx context.Context) error {
	store, err := models.Open(ctx, c.DatabaseURL, nil)
	if err != nil {
		return err
	}
	defer store.Close()
	clients, err := store.Clients(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, client := range clients {
		family := ""
		if client.Family {
			family = "family"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", client.ID, client.CreatedAt.Format(time.DateOnly), client.Name, family)
	}
	return table.Flush()
}
