package api

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

type documents struct{}

func newDocuments() *documents                     { return &documents{} }
func (d *documents) redirect(c echo.Context) error { return c.Redirect(http.StatusFound, "/docs") }
func (d *documents) page(c echo.Context) error     { return errNotFound }
func (d *documents) file(c echo.Context) error     { return errNotFound }
func (d *documents) specification(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", Specification)
}
