package api

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/openapi"
	"github.com/kontoflow/kontoflow/models"
	workflows "github.com/kontoflow/kontoflow/workflows/contract"
)

// ListChallenges lists what the bank has asked so far (GET …/challenges).
func (s *Server) ListChallenges(c echo.Context, accessID AccessID, syncID SyncID) error {
	access, sync, err := parseIDs(accessID, syncID)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := s.sync(ctx, callerOf(c).user, access, sync); err != nil {
		return err
	}
	var all []models.Challenge
	if err := s.store.DB.WithContext(ctx).Where("sync_id = ?", sync).Order("ordinal").Find(&all).Error; err != nil {
		return err
	}
	questions := make([]Challenge, len(all))
	for i := range all {
		if questions[i], err = s.question(&all[i]); err != nil {
			return err
		}
	}
	return c.JSON(http.StatusOK, questions)
}

// GetChallenge answers one challenge (GET …/challenges/{id}).
func (s *Server) GetChallenge(c echo.Context, accessID AccessID, syncID SyncID, challengeID ChallengeID) error {
	challenge, err := s.challenge(c, accessID, syncID, challengeID)
	if err != nil {
		return err
	}
	question, err := s.question(&challenge)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, question)
}

// AnswerChallenge stores the customer's answer and tells the workflow that there is one
// (POST …/challenges/{id}/response).
func (s *Server) AnswerChallenge(c echo.Context, accessID AccessID, syncID SyncID, challengeID ChallengeID) error {
	body, err := bind[ChallengeResponse](c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	challenge, err := s.challenge(c, accessID, syncID, challengeID)
	if err != nil {
		return err
	}
	question, err := s.store.OpenChallenge(&challenge)
	if err != nil {
		return err
	}
	if problems := checkAnswer(question, body); len(problems) > 0 {
		return refuse(http.StatusBadRequest, problems)
	}
	answer := banks.Answer{Value: body.Value, MethodID: body.MethodID}
	if err := s.store.PutAnswer(ctx, challenge.ID, answer); err != nil {
		return err
	}
	s.answered(ctx, challenge)
	return c.JSON(http.StatusOK, Done{})
}

// RestartChallenge gives up the open challenge, and has the workflow ask the bank for another one
// (POST …/challenges/{id}/restart).
func (s *Server) RestartChallenge(c echo.Context, accessID AccessID, syncID SyncID, challengeID ChallengeID) error {
	body, err := bind[ChallengeRestart](c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	challenge, err := s.challenge(c, accessID, syncID, challengeID)
	if err != nil {
		return err
	}
	if body.ChooseMethod {
		access, err := s.access(ctx, callerOf(c).user, accessID)
		if err != nil {
			return err
		}
		method, err := s.store.AccessMethod(ctx, access.AccessMethodID)
		if err != nil {
			return err
		}
		if err := checkChoice(method); err != nil {
			return err
		}
	}
	if err := s.store.RestartChallenge(ctx, challenge.ID, body.ChooseMethod); err != nil {
		return err
	}
	s.tell(ctx, "signal a restart", func(ctx context.Context) error {
		return workflows.SignalRestarted(ctx, s.temporal, challenge.SyncID, challenge.ID) // a signal more is harmless
	})
	return c.JSON(http.StatusOK, Done{})
}

// checkAnswer says what does not fit between an answer and its question.
func checkAnswer(question banks.Challenge, body ChallengeResponse) openapi.Problems {
	problems := make(openapi.Problems)
	switch question.Type {
	case banks.Embedded:
		if body.Value == "" {
			problems.Add("value", "is required")
		}
		if body.MethodID != "" {
			problems.Add("method_id", "does not answer this challenge")
		}
	case banks.MethodSelection:
		if body.Value != "" {
			problems.Add("value", "does not answer this challenge")
		}
		if body.MethodID == "" {
			problems.Add("method_id", "is required")
			break
		}
		for _, m := range question.AuthMethods {
			if m.ID == body.MethodID {
				return problems
			}
		}
		problems.Add("method_id", "is none of this challenge's auth_methods")
	default: // REDIRECT and DECOUPLED
		problems.Add(openapi.Body, "this challenge is answered at the bank")
	}
	return problems
}

// answered tells the workflow; a signal more is harmless.
func (s *Server) answered(ctx context.Context, challenge models.Challenge) {
	s.tell(ctx, "signal an answer", func(ctx context.Context) error {
		return workflows.SignalAnswered(ctx, s.temporal, challenge.SyncID, challenge.ID)
	})
}

// challenge finds a challenge of one of the user's synchronizations.
func (s *Server) challenge(c echo.Context, accessID, syncID, challengeID string) (challenge models.Challenge, err error) {
	access, sync, err := parseIDs(accessID, syncID)
	if err != nil {
		return challenge, err
	}
	id, err := parseID(challengeID)
	if err != nil {
		return challenge, errNotFound
	}
	found := s.store.DB.WithContext(c.Request().Context()).Raw(`
		SELECT c.* FROM challenges c JOIN synchronizations y ON y.id = c.sync_id JOIN accesses a ON a.id = y.access_id
		WHERE c.id = ? AND y.id = ? AND a.id = ? AND a.user_id = ? AND a.deleted_at IS NULL`,
		id, sync, access, callerOf(c).user).Scan(&challenge)
	if found.Error == nil && found.RowsAffected == 0 {
		return challenge, errNotFound
	}
	return challenge, found.Error
}

// question opens a challenge and words it for the wire.
func (s *Server) question(c *models.Challenge) (Challenge, error) {
	q, err := s.store.OpenChallenge(c)
	if err != nil {
		return Challenge{}, err
	}
	return Challenge{
		ID: c.ID, CreatedAt: Timestamp(c.CreatedAt), Type: ChallengeType(q.Type),
		AuthMethods: wireMethods(q.AuthMethods),
		Format:      ChallengeFormat(q.Format), Data: q.Data, Label: q.Label, Version: q.Version, AdditionalInfo: q.AdditionalInfo,
		InputFormat: q.InputFormat, MinLength: q.MinLength, MaxLength: q.MaxLength,
		Location: q.Location, Message: q.Message,
	}, nil
}

func wireMethods(methods []banks.AuthMethod) []AuthMethod {
	wire := make([]AuthMethod, len(methods))
	for i, m := range methods {
		wire[i] = AuthMethod{ID: m.ID, Type: m.Type, MediumName: m.MediumName, AdditionalInfo: m.AdditionalInfo, Default: m.Default}
	}
	return wire
}
