package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"hearth"
)

// A sealed secret holds whose it is beside its value, so that a row copied to another function or
// name by whoever can write the database does not open there.
//
//	0x01, length of function id, function id, length of name, name, value

const sealVersion = 1

func encodeSecret(functionID, name, value string) []byte {
	b := make([]byte, 0, 1+2*binary.MaxVarintLen64+len(functionID)+len(name)+len(value))
	b = append(b, sealVersion)
	b = binary.AppendUvarint(b, uint64(len(functionID)))
	b = append(b, functionID...)
	b = binary.AppendUvarint(b, uint64(len(name)))
	b = append(b, name...)
	return append(b, value...)
}

func decodeSecret(b []byte) (functionID, name, value string, err error) {
	bad := errors.New("sealed secret is malformed")
	if len(b) == 0 || b[0] != sealVersion {
		return "", "", "", bad
	}
	b = b[1:]
	field := func() (string, bool) {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return "", false
		}
		s := string(b[size : size+int(n)])
		b = b[size+int(n):]
		return s, true
	}
	functionID, ok := field()
	if !ok {
		return "", "", "", bad
	}
	if name, ok = field(); !ok {
		return "", "", "", bad
	}
	return functionID, name, string(b), nil
}

func (s *Store) seal(ctx context.Context, functionID, name, value string) ([]byte, error) {
	sealed, err := s.keeper.Encrypt(ctx, encodeSecret(functionID, name, value))
	if err != nil {
		return nil, fmt.Errorf("seal secret: %w", err)
	}
	return sealed, nil
}

// open returns the value of a sealed secret, if it is that function's and of that name.
func (s *Store) open(ctx context.Context, functionID, name string, sealed []byte) (string, error) {
	raw, err := s.keeper.Decrypt(ctx, sealed)
	if err != nil {
		return "", fmt.Errorf("open secret: %w", err)
	}
	id, n, value, err := decodeSecret(raw)
	if err != nil {
		return "", fmt.Errorf("open secret: %w", err)
	}
	if id != functionID || n != name {
		return "", errors.New("open secret: it was sealed for another function or name")
	}
	return value, nil
}

// checkKeeper refuses a keeper that cannot open what this database holds, by a probe that the first
// one sealed: better at start than at a call.
func (s *Store) checkKeeper(ctx context.Context) error {
	const probe = "keeper-probe"
	var sealed []byte
	err := s.reader.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = $1`, probe).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		if sealed, err = s.seal(ctx, "", probe, newID()); err != nil {
			return err
		}
		return s.write(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, probe, sealed)
			return err
		})
	}
	if err != nil {
		return explain("read keeper probe", err)
	}
	if _, err := s.open(ctx, "", probe, sealed); err != nil {
		return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "wrong_key", Cause: err,
			Message: "The key does not open the secrets of this database; start Hearth with the key that they were sealed with."}
	}
	return nil
}
