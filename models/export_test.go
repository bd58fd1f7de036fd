package models

// SealedColumns are those that Store.Reseal knows, as table.column.
func SealedColumns() (all []string) {
	for _, c := range sealedColumns {
		all = append(all, c.table+"."+c.column)
	}
	return all
}
