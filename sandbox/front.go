package sandbox

import "net/http"

// frontPage lists the banks and the personas.
func (b *Bank) frontPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = pages.ExecuteTemplate(w, "front.html", map[string]any{
		"Bank": "Kontoflow", "Title": "Sandbox banks", "Error": "", "Banks": dialects, "FinTS": fintsShapes, "Personas": Personas, "Now": b.Now().Format("2006-01-02 15:04"),
	})
}

func (b *Bank) icon(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Cache-Control", "max-age=86400")
	_, _ = w.Write(matrix(b.options.Seed))
}
