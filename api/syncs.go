package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/admission"
	"github.com/kontoflow/kontoflow/internal/openapi"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
	workflows "github.com/kontoflow/kontoflow/workflows/contract"
)

// CreateSync stores a synchronization and starts its workflow (POST /rest/accesses/{id}/syncs). The row comes first: a
// start that is lost is made up for by the worker's sweep.
func (s *Server) CreateSync(c echo.Context, accessID AccessID, params CreateSyncParams) error {
	body, err := bind[NewSync](c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	access, err := s.access(ctx, callerOf(c).user, accessID)
	if err != nil {
		return err
	}
	if access.Status == rules.AccessRevoked {
		return errState // an upgrade left nothing here that could be read
	}
	sync, psu, err := s.newSynchronization(access, body, params)
	if err != nil {
		return err
	}
	if sync.IdempotencyKey != nil {
		if done, err := s.repeated(c, sync); done || err != nil {
			return err
		}
	}
	method, err := s.store.AccessMethod(ctx, access.AccessMethodID)
	if err != nil {
		return err
	}
	upgrades, err := s.store.PendingUpgrades(ctx, access.ID)
	if err != nil {
		return err
	}
	asksBank := len(upgrades) == 0
	if sync.ChooseMethod != nil {
		if err := settleChoice(sync, method, asksBank); err != nil {
			return err
		}
	}
	if !asksBank {
		if err := s.checkSpareCredentials(ctx, upgrades[0], method, body.Credentials); err != nil {
			return err
		}
		body.Credentials = nil
	}
	if err := s.store.SealPSU(sync, psu); err != nil {
		return err
	}
	err = s.store.Transact(ctx, func(tx *gorm.DB) error {
		if err := settleStart(tx, access, sync); err != nil {
			return err
		}
		if asksBank {
			if err := checkSyncCredentials(tx, sync, method, body.Credentials); err != nil {
				return err
			}
			if err := checkBudget(tx, sync); err != nil {
				return err
			}
		}
		if err := models.CreateSynchronization(tx, sync); err != nil {
			return err
		}
		keep := sync.SaveSecrets != nil && *sync.SaveSecrets
		return s.store.PutCredentials(tx, access.ID, &sync.ID, body.Credentials, method.Credentials, keep)
	})
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		return s.refused(c, sync)
	}
	if err != nil {
		return err
	}
	s.tell(ctx, "start a synchronization", func(ctx context.Context) error {
		return workflows.Start(ctx, s.temporal, s.taskQueue, workflows.Run{
			ID: sync.ID, AccessID: access.ID, BankID: access.BankID, Trigger: sync.Trigger, Scope: sync.Scope})
	})
	// Not read again: its workflow may have moved it already, and the answer to a start is QUEUED.
	return c.JSON(http.StatusCreated, queuedSync(sync))
}

// queuedSync shows a synchronization that nothing has happened to.
func queuedSync(y *models.Synchronization) *Sync {
	return &Sync{ID: y.ID, AccessID: y.AccessID, Status: SyncStatus(y.Status), Trigger: SyncTrigger(y.Trigger), Scope: wireScope(y.Scope),
		CreatedAt: Timestamp(y.CreatedAt), Accounts: []SyncAccount{}}
}

func wireScope(stored []string) []SyncScope {
	scope := make([]SyncScope, len(stored))
	for i, s := range stored {
		scope[i] = SyncScope(s)
	}
	return scope
}

// settleChoice refuses a synchronization that is to let the customer choose the method where they cannot. Where the bank
// grants consents, a method is chosen for the authorisation of a new one.
func settleChoice(sync *models.Synchronization, method models.AccessMethod, asksBank bool) error {
	if !asksBank {
		return invalid("choose_method", "nobody is asked: this synchronization upgrades the access")
	}
	if err := checkChoice(method); err != nil {
		return err
	}
	connection := banks.Connection{Protocol: method.Protocol}
	sync.RenewConsent = sync.RenewConsent || connection.Capabilities().GrantsConsents
	return nil
}

// checkChoice refuses a choice of the method where the customer makes it on the bank's own pages.
func checkChoice(method models.AccessMethod) error {
	chooses := func(flow string) bool {
		return flow == string(AccessMethodCustomerAuthenticationFlowsEMBEDDED2FA) || flow == string(AccessMethodCustomerAuthenticationFlowsDECOUPLED)
	}
	if flows := method.CustomerAuthenticationFlows; len(flows) > 0 && !slices.ContainsFunc(flows, chooses) {
		return invalid("choose_method", "the customer chooses the method on the bank's own pages")
	}
	return nil
}

// settleStart checks a synchronization against its access as it is now, and completes it. A deletion of the access at the
// same moment, or of its secrets, or an upgrade, comes before or after the transaction, not in between.
func settleStart(tx *gorm.DB, access models.Access, sync *models.Synchronization) error {
	var now struct {
		AccessMethodID  uuid.UUID
		SaveCredentials bool
	}
	result := tx.Raw(`SELECT access_method_id, save_credentials FROM accesses WHERE id = ? AND deleted_at IS NULL FOR SHARE`, access.ID).Scan(&now)
	switch {
	case result.Error != nil:
		return fmt.Errorf("lock the access: %w", result.Error)
	case result.RowsAffected == 0:
		return errNotFound
	case now.AccessMethodID != access.AccessMethodID:
		return errState
	case sync.SaveSecrets == nil && now.SaveCredentials:
		sync.SaveSecrets = &now.SaveCredentials
	}
	return nil
}

// checkBudget refuses with 1020 a synchronization without its customer where the bank's limit of those is used up. Nobody
// else can use up what is left at this moment: one synchronization of an access runs at a time.
func checkBudget(tx *gorm.DB, sync *models.Synchronization) error {
	if !sync.Unattended {
		return nil
	}
	standings, err := models.AutoSyncs(tx, sync.AccessID)
	if err != nil {
		return err
	}
	if a := standings[sync.AccessID]; a.Remaining == 0 && !a.Running {
		return tooMany(a.RetryAt)
	}
	return nil
}

func (s *Server) newSynchronization(access models.Access, body NewSync, params CreateSyncParams) (*models.Synchronization, banks.PSU, error) {
	problems := make(openapi.Problems)
	sync := &models.Synchronization{
		ID: models.NewID(), AccessID: access.ID, Status: rules.Queued, Trigger: rules.Manual,
		SaveSecrets: body.SaveSecrets, DisableNotifications: body.DisableNotifications, RenewConsent: body.RenewConsent,
		RedirectURI: optional(body.RedirectURI), State: optional(body.State), IdempotencyKey: optional(params.IdempotencyKey),
		CreatedAt: s.store.Now(),
	}
	if body.ChooseMethod {
		sync.ChooseMethod = &sync.ID
	}
	if body.SyncPeriod > 0 {
		sync.SyncPeriod = &body.SyncPeriod
	}
	for _, scope := range body.Scope {
		if !slices.Contains(sync.Scope, string(scope)) {
			sync.Scope = append(sync.Scope, string(scope))
		}
	}
	if len(sync.Scope) == 0 {
		sync.Scope = models.Strings{rules.ScopeTransactions}
	}
	if body.RedirectURI != "" && !fitRedirect(body.RedirectURI) {
		problems.Add("redirect_uri", "must be https, http on a loopback address, or an app's own scheme, and have no fragment")
	}
	psu := banks.PSU{IPAddress: params.PSUIPAddress, UserAgent: params.PSUUserAgent}
	if psu.IPAddress != "" {
		if address, err := netip.ParseAddr(psu.IPAddress); err != nil || address.Zone() != "" {
			problems.Add("PSU-IP-Address", "must be an IP address")
		}
	}
	if len(problems) > 0 {
		return nil, psu, refuse(http.StatusBadRequest, problems)
	}
	if sync.IdempotencyKey != nil {
		sync.RequestHash = hashRequest(body)
	}
	return sync, psu, nil
}

// hashRequest tells whether a request with a known key is the same request. The values of credentials stay out: a hash
// of a PIN is as good as the PIN.
func hashRequest(body NewSync) []byte {
	keys := make(map[string]string, len(body.Credentials))
	for key := range body.Credentials {
		keys[key] = ""
	}
	body.Credentials = keys
	encoded, _ := json.Marshal(body) // strings, booleans and maps of them: it cannot fail
	sum := sha256.Sum256(encoded)
	return sum[:]
}

// browserSchemes are those that browsers and systems act upon themselves: no app can own them.
var browserSchemes = []string{"about", "blob", "chrome", "content", "data", "file", "filesystem", "ftp", "intent", "jar", "javascript",
	"mailto", "ms-appx", "resource", "sms", "tel", "urn", "vbscript", "view-source", "ws", "wss"}

// fitRedirect reports whether customers may be sent to uri: https, http to this machine, or an app's scheme.
func fitRedirect(uri string) bool {
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return false
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" || u.User != nil || strings.Contains(uri, "#") {
		return false
	}
	switch u.Scheme {
	case "https", "http":
		return banks.SafeAddress(u)
	}
	return !slices.Contains(browserSchemes, u.Scheme)
}

// checkSyncCredentials refuses with 1011 what the access method does not know, and what it needs and nobody gave.
// Secrets are not needed while the bank's consent stands, and is not to be renewed.
func checkSyncCredentials(tx *gorm.DB, sync *models.Synchronization, method models.AccessMethod, given map[string]string) error {
	stored, err := models.StoredCredentials(tx, sync.AccessID)
	if err != nil {
		return err
	}
	have := make(map[string]bool, len(stored))
	for _, credential := range stored {
		have[credential.Key] = true
	}
	secrets := true
	if method.GrantsConsents && !sync.RenewConsent {
		consent, err := models.ValidConsent(tx, sync.AccessID)
		if err != nil && !errors.Is(err, models.ErrNotFound) {
			return err
		}
		secrets = err != nil || consent.ValidUntil != nil && consent.ValidUntil.Before(tx.NowFunc())
	}
	return checkCredentials(method.Credentials, given, func(f models.CredentialField) bool {
		return !have[f.Key] && (!f.IsSecret || secrets)
	})
}

// checkSpareCredentials refuses with 1011 what neither the superseded access method nor the new one knows. Nothing is
// needed: the synchronization upgrades the access, and the next one talks to the bank.
func (s *Server) checkSpareCredentials(ctx context.Context, pending models.PendingUpgrade, superseded models.AccessMethod, given map[string]string) error {
	method, err := s.store.AccessMethod(ctx, pending.AccessMethodID)
	if err != nil {
		return err
	}
	problems := make(openapi.Problems)
	for key := range given {
		if !slices.ContainsFunc(slices.Concat(superseded.Credentials, method.Credentials), func(f models.CredentialField) bool { return f.Key == key }) {
			problems.Add("credentials."+key, "is not asked for by this access method")
		}
	}
	if len(problems) > 0 {
		return incomplete(problems)
	}
	return nil
}

// repeated answers the synchronization that the idempotency key stands for, if there is one.
func (s *Server) repeated(c echo.Context, sync *models.Synchronization) (bool, error) {
	var id uuid.UUID
	var hash []byte
	err := s.store.Pool.QueryRow(c.Request().Context(), `SELECT id, request_hash FROM synchronizations WHERE access_id = $1 AND idempotency_key = $2`,
		sync.AccessID, sync.IdempotencyKey).Scan(&id, &hash)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for the idempotency key: %w", err)
	case !bytes.Equal(hash, sync.RequestHash):
		return false, invalid("Idempotency-Key", "stands for another request")
	}
	return true, s.answerSync(c, http.StatusCreated, sync.AccessID, id)
}

// refused says why a synchronization could not be stored: its key was used at the same moment, or another one runs.
func (s *Server) refused(c echo.Context, sync *models.Synchronization) error {
	if sync.IdempotencyKey != nil {
		if done, err := s.repeated(c, sync); done || err != nil {
			return err
		}
	}
	busy := &problem{status: http.StatusConflict, code: rules.CodeBusy}
	var running uuid.UUID
	err := s.store.Pool.QueryRow(c.Request().Context(), `SELECT id FROM synchronizations
		WHERE access_id = $1 AND ended_at IS NULL`, sync.AccessID).Scan(&running)
	switch {
	case err == nil:
		busy.data = openapi.Problems{"sync_id": {running.String()}}
	case !errors.Is(err, pgx.ErrNoRows): // none: it ended this very moment, and the caller may try again
		return fmt.Errorf("look for the running synchronization: %w", err)
	}
	return busy
}

// tell lets Temporal know of something that is stored. It may fail: the worker's sweep tells it then.
func (s *Server) tell(ctx context.Context, what string, f func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := f(ctx); err != nil {
		s.log.WarnContext(ctx, "could not "+what+"; the worker's sweep will", "error", err)
	}
}

// ListSyncs lists an access's synchronizations, newest first (GET /rest/accesses/{id}/syncs).
func (s *Server) ListSyncs(c echo.Context, accessID AccessID, params ListSyncsParams) error {
	ctx := c.Request().Context()
	access, err := s.access(ctx, callerOf(c).user, accessID)
	if err != nil {
		return err
	}
	if params.Count == 0 {
		params.Count = 100
	}
	rows, err := s.store.Pool.Query(ctx, selectSync+`WHERE y.access_id = $1 ORDER BY y.created_at DESC, y.id DESC LIMIT $2 OFFSET $3`,
		access.ID, params.Count, params.Offset)
	if err != nil {
		return fmt.Errorf("read the synchronizations: %w", err)
	}
	syncs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Sync, error) { return s.scanSync(row) })
	if err != nil {
		return fmt.Errorf("read the synchronizations: %w", err)
	}
	return c.JSON(http.StatusOK, map[string][]*Sync{"syncs": syncs})
}

// GetSync answers a synchronization, at once or when its status changes (GET …/syncs/{id}).
func (s *Server) GetSync(c echo.Context, accessID AccessID, syncID SyncID, params GetSyncParams) error {
	sync, found := c.Get(syncKey).(*Sync) // see authorizeWithSync
	if !found {
		return errNotFound
	}
	if params.Wait > 0 {
		if err := become(c, admission.Waiting); err != nil {
			return err
		}
		if params.After == "" {
			params.After = string(sync.Status)
		}
		if err := s.await(c, sync, params.After, time.Duration(params.Wait)*time.Second); err != nil {
			return err
		}
		if _, err := s.authorizeUser(c); err != nil { // the token may have been revoked meanwhile
			return err
		}
	}
	return c.JSON(http.StatusOK, sync)
}

// await brings sync up to date when its status, or its open challenge, is another one than after, and at the latest
// after a while.
func (s *Server) await(c echo.Context, sync *Sync, after string, atMost time.Duration) error {
	changed, unsubscribe := s.changes.of(sync.ID)
	defer unsubscribe()
	deadline := time.NewTimer(atMost)
	defer deadline.Stop()
	for ctx := c.Request().Context(); sync.is(after) && !ended(sync.Status); {
		// It was read before anybody listened, so it is read again before the first wait.
		now, err := s.sync(ctx, callerOf(c).user, sync.AccessID, sync.ID)
		if err != nil {
			return err
		}
		if *sync = *now; !sync.is(after) {
			return nil
		}
		select {
		case <-changed:
		case <-deadline.C:
			return nil
		case <-s.changes.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// is reports whether known is the synchronization's status or the id of its open challenge.
func (y *Sync) is(known string) bool {
	return known == string(y.Status) || y.Challenge.ID != uuid.Nil && known == y.Challenge.ID.String()
}

const syncPath = "/rest/accesses/:access_id/syncs/:sync_id"

// authorizeWithSync reads what GetSync will answer in the same query as the token: it is what clients call most. A good
// token without the synchronization is a row of its own.
func (s *Server) authorizeWithSync(c echo.Context, who *caller, tokenHash []byte) error {
	access, id, err := parseIDs(c.Param("access_id"), c.Param("sync_id"))
	known := err == nil // else the nil UUID, which nothing has
	row := s.store.Pool.QueryRow(c.Request().Context(), `SELECT `+syncColumns+`, `+bearerColumns+` FROM `+bearerTables+`
		LEFT JOIN (synchronizations y JOIN accesses a ON a.id = y.access_id AND a.deleted_at IS NULL)
		  ON y.id = $2 AND y.access_id = $3 AND a.user_id = t.user_id`+openChallenge+` WHERE `+bearerIsGood,
		tokenHash, [16]byte(id), [16]byte(access))
	sync, err := s.scanSync(row, &who.user, &who.client, &who.family, &who.scopes)
	if err == nil && known && sync.ID != uuid.Nil {
		c.Set(syncKey, sync)
	}
	return err
}

const syncKey = "sync"

func ended(status SyncStatus) bool { return rules.SyncStatus(status).Ended() }

// CancelSync asks a synchronization to end with 30007 (POST …/syncs/{id}/cancel).
func (s *Server) CancelSync(c echo.Context, accessID AccessID, syncID SyncID) error {
	ctx := c.Request().Context()
	access, id, err := parseIDs(accessID, syncID)
	if err != nil {
		return err
	}
	if _, err := s.sync(ctx, callerOf(c).user, access, id); err != nil {
		return err
	}
	if err := s.store.RequestCancel(ctx, id); err == nil {
		s.tell(ctx, "cancel a synchronization", func(ctx context.Context) error { return workflows.Cancel(ctx, s.temporal, id) })
	} else if !errors.Is(err, models.ErrEdge) { // it has ended: nothing to cancel
		return err
	}
	return s.answerSync(c, http.StatusOK, access, id)
}

// syncColumns are a synchronization as the contract shows it, with its open challenge and its accounts.
const (
	syncColumns = `y.id, y.access_id, y.status, y.trigger, y.scope, y.created_at, y.started_at, y.ended_at, y.expires_at, y.error,
	       y.accounts_total, y.accounts_done, y.transactions_added, y.transactions_modified, y.transactions_removed,
	       c.id, c.created_at, c.content,
	       (SELECT json_agg(json_build_object('account_id', w.account_id, 'status', w.status, 'error', w.error,
	        'withheld', coalesce(w.unread, w.withheld), 'unreadable', w.unreadable) ORDER BY w.position)
	        FROM synchronization_accounts w WHERE w.sync_id = y.id)`
	openChallenge = ` LEFT JOIN challenges c ON c.sync_id = y.id AND c.status = 'OPEN' AND y.status = 'AWAIT_AUTH' `
	selectSync    = `SELECT ` + syncColumns + ` FROM synchronizations y JOIN accesses a ON a.id = y.access_id` + openChallenge
)

// sync reads one synchronization of the user.
func (s *Server) sync(ctx context.Context, user string, access, id uuid.UUID) (*Sync, error) {
	row := s.store.Pool.QueryRow(ctx, selectSync+`WHERE y.id = $1 AND y.access_id = $2 AND a.user_id = $3 AND a.deleted_at IS NULL`, id, access, user)
	sync, err := s.scanSync(row)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read the synchronization: %w", err)
	}
	return sync, nil
}

func (s *Server) answerSync(c echo.Context, status int, access, id uuid.UUID) error {
	sync, err := s.sync(c.Request().Context(), callerOf(c).user, access, id)
	if err != nil {
		return err
	}
	return c.JSON(status, sync)
}

// A syncRow takes up syncColumns. It is one piece of memory, for clients ask for nothing as often.
type syncRow struct {
	id, access, challenge                   pgtype.UUID
	status, trigger                         pgtype.Text
	scope                                   []string
	created, started, ended, expires, asked pgtype.Timestamptz
	counts                                  [5]pgtype.Int4
	failure, content, accounts              []byte
}

// scanSync reads syncColumns, and further columns into more. A row without a synchronization leaves the ID zero.
func (s *Server) scanSync(row pgx.Row, more ...any) (*Sync, error) {
	var r syncRow
	err := row.Scan(append([]any{&r.id, &r.access, &r.status, &r.trigger, &r.scope, &r.created, &r.started, &r.ended, &r.expires, &r.failure,
		&r.counts[0], &r.counts[1], &r.counts[2], &r.counts[3], &r.counts[4], &r.challenge, &r.asked, &r.content, &r.accounts}, more...)...)
	if err != nil {
		return nil, err
	}
	y := &Sync{
		ID: r.id.Bytes, AccessID: r.access.Bytes, Status: SyncStatus(r.status.String), Trigger: SyncTrigger(r.trigger.String), Scope: wireScope(r.scope),
		CreatedAt: Timestamp(r.created.Time), StartedAt: Timestamp(r.started.Time), EndedAt: Timestamp(r.ended.Time), ExpiresAt: Timestamp(r.expires.Time),
		Progress: Progress{AccountsTotal: int(r.counts[0].Int32), AccountsDone: int(r.counts[1].Int32), TransactionsAdded: int(r.counts[2].Int32),
			TransactionsModified: int(r.counts[3].Int32), TransactionsRemoved: int(r.counts[4].Int32)},
		Accounts: []SyncAccount{},
	}
	if r.failure != nil {
		var e rules.SyncError
		if err := json.Unmarshal(r.failure, &e); err != nil {
			return nil, errors.New("the stored error is not readable")
		}
		y.Error = syncError(&e)
	}
	if r.challenge.Valid {
		challenge := models.Challenge{ID: r.challenge.Bytes, CreatedAt: r.asked.Time, Content: r.content}
		if y.Challenge, err = s.question(&challenge); err != nil {
			return nil, err
		}
	}
	if r.accounts != nil {
		var rows []struct {
			AccountID  uuid.UUID         `json:"account_id"`
			Status     SyncAccountStatus `json:"status"`
			Error      *rules.SyncError  `json:"error"`
			Withheld   string            `json:"withheld"`
			Unreadable int               `json:"unreadable"`
		}
		if err := json.Unmarshal(r.accounts, &rows); err != nil {
			return nil, errors.New("the synchronization's accounts are not readable")
		}
		for _, r := range rows {
			y.Accounts = append(y.Accounts, SyncAccount{AccountID: r.AccountID, Status: r.Status, Error: syncError(r.Error),
				Withheld: r.Withheld, Unreadable: r.Unreadable})
		}
	}
	return y, nil
}

// parseID reads an id from a path or a body. What is no id names nothing.
func parseID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 { // the parser knows other spellings, too
		return id, errNotFound
	}
	return id, nil
}

func parseIDs(first, second string) (a, b uuid.UUID, err error) {
	if a, err = parseID(first); err != nil {
		return a, b, err
	}
	b, err = parseID(second)
	return a, b, err
}
