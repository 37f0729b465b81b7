-- Tokens for one class of models: a programme has a budget for each, beside the one for any.
CREATE TABLE budgets_by_class (
    programme                  TEXT    NOT NULL,
    unit                       TEXT    NOT NULL,
    model_class                TEXT    NOT NULL, -- empty: for any
    amount                     INTEGER NOT NULL,
    concentration_permille_max INTEGER NOT NULL,
    PRIMARY KEY (programme, unit, model_class)
) STRICT;
INSERT INTO budgets_by_class
    SELECT programme, unit, '', amount, concentration_permille_max FROM budgets;
DROP TABLE budgets;
ALTER TABLE budgets_by_class RENAME TO budgets;

ALTER TABLE allocations ADD COLUMN model_class TEXT;
