-- Passwords that have to be replaced.

ALTER TABLE passwords ADD COLUMN must_change boolean NOT NULL DEFAULT false;  -- it opens nothing but the page for another
