-- Tokens for one class of models: a programme has a budget for each, beside the one for any.
ALTER TABLE budgets ADD COLUMN model_class TEXT COLLATE "C" NOT NULL DEFAULT ''; -- empty: for any
ALTER TABLE budgets DROP CONSTRAINT budgets_pkey, ADD PRIMARY KEY (programme, unit, model_class);

ALTER TABLE allocations ADD COLUMN model_class TEXT COLLATE "C";
