-- The panel's list of bans that are over, the latest ending first. One that another took the place of while it was in
-- force is no ending; the history of its subject has it.
CREATE INDEX bans_ended ON bans ((least(lifted_at, until)) DESC, id DESC)
    WHERE lifted_by IS DISTINCT FROM 'replaced' OR until <= lifted_at;
