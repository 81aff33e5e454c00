CREATE TABLE public.account (
    id text NOT NULL,
    username text NOT NULL,
    folded text NOT NULL COLLATE pg_catalog."C",
    role text NOT NULL,
    disabled boolean NOT NULL,
    password_hash text NOT NULL,
    created bigint NOT NULL,
    updated bigint NOT NULL,
    last_login bigint
);
CREATE TABLE public.api_key (
    id text NOT NULL,
    account_id text NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    token_hash bytea NOT NULL,
    scopes text NOT NULL,
    created bigint NOT NULL,
    expires bigint,
    used bigint,
    revoked bigint
);
CREATE TABLE public.audit_event (
    id bigint NOT NULL,
    "time" bigint NOT NULL,
    actor text NOT NULL,
    actor_folded text NOT NULL,
    credential text NOT NULL,
    peer text NOT NULL,
    action text NOT NULL COLLATE pg_catalog."C",
    target text NOT NULL,
    details text NOT NULL
);
CREATE SEQUENCE public.audit_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_event_id_seq OWNED BY public.audit_event.id;
CREATE TABLE public.fact (
    name text NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.failed_login (
    bucket text NOT NULL,
    level double precision NOT NULL,
    at bigint NOT NULL
);
CREATE TABLE public.reply (
    id bytea NOT NULL,
    content bytea NOT NULL,
    sealed bytea NOT NULL,
    created bigint NOT NULL
);
CREATE TABLE public.schema_migration (
    id integer NOT NULL,
    name character varying(255) NOT NULL,
    applied timestamp without time zone NOT NULL
);
CREATE SEQUENCE public.schema_migration_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.schema_migration_id_seq OWNED BY public.schema_migration.id;
CREATE TABLE public.session (
    id text NOT NULL,
    account_id text NOT NULL,
    token_hash bytea NOT NULL,
    created bigint NOT NULL,
    used bigint NOT NULL,
    expires bigint NOT NULL
);
ALTER TABLE ONLY public.audit_event ALTER COLUMN id SET DEFAULT nextval('public.audit_event_id_seq'::regclass);
ALTER TABLE ONLY public.schema_migration ALTER COLUMN id SET DEFAULT nextval('public.schema_migration_id_seq'::regclass);
INSERT INTO public.account VALUES ('00000000000000000000000000000001', 'Ada', 'ada', 'admin', false, '$2b$12$Ada', 1772368245678901, 1772371845678901, 1772375445678901);
INSERT INTO public.account VALUES ('00000000000000000000000000000002', 'bob@example.org', 'bob@example.org', 'user', true, '$2b$12$bob@example.org', 1772368245678901, 1772368245678901, NULL);
INSERT INTO public.account VALUES ('00000000000000000000000000000003', 'Ωmega-Straße', 'ωmega-strasse', 'user', false, '$2b$12$Ωmega-Straße', 1772371845678901, 1772371845678901, NULL);
INSERT INTO public.api_key VALUES ('33333333333333333333333333333333', '00000000000000000000000000000001', 'nightly import', 'twk_Ab12Cd34', '\x404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f', 'admin search tagging:read tagging:write', 1772368245678901, 1772454645678901, 1772371845678901, 1772375445678901);
INSERT INTO public.api_key VALUES ('44444444444444444444444444444444', '00000000000000000000000000000003', 'Schlüssel 🔑', 'twk_Ef56Gh78', '\x606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f', 'search', 1772371845678901, NULL, NULL, NULL);
INSERT INTO public.audit_event VALUES (1, 1772368245678901, '', '', 'local', '', 'user.create', 'Ada', '{"role": "ROLE_ADMIN"}');
INSERT INTO public.audit_event VALUES (2, 1772371845678901, 'Ada', 'ada', 'session', '192.0.2.7', 'key.create', 'twk_Ab12Cd34', '{"name": "a \"\u0431\" \u0000"}');
INSERT INTO public.audit_event VALUES (3, 1772375445678901, '', '', '', '2001:db8::7', 'login.failed', 'no�body', '{}');
INSERT INTO public.fact VALUES ('pepper check', 'a value');
INSERT INTO public.fact VALUES ('empty', '');
INSERT INTO public.failed_login VALUES ('account ada', 2.5, 1772368245678901);
INSERT INTO public.failed_login VALUES ('peer 192.0.2.7', 0.30000000000000004, 1772371845678901);
INSERT INTO public.reply VALUES ('\x000102030405060708090a0b0c0d0e0f', '\x636f6e74656e74', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', 1772368245678901);
INSERT INTO public.schema_migration VALUES (1, '0001_accounts', '2026-03-01 12:30:45.678901');
INSERT INTO public.session VALUES ('11111111111111111111111111111111', '00000000000000000000000000000001', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', 1772368245678901, 1772371845678901, 1772411445678901);
INSERT INTO public.session VALUES ('22222222222222222222222222222222', '00000000000000000000000000000003', '\x202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f', 1772368245678901, 1772368245678901, 1772411445678901);
SELECT pg_catalog.setval('public.audit_event_id_seq', 3, true);
SELECT pg_catalog.setval('public.schema_migration_id_seq', 1, true);
ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.audit_event
    ADD CONSTRAINT audit_event_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.fact
    ADD CONSTRAINT fact_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.failed_login
    ADD CONSTRAINT failed_login_pkey PRIMARY KEY (bucket);
ALTER TABLE ONLY public.reply
    ADD CONSTRAINT reply_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.schema_migration
    ADD CONSTRAINT schema_migration_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX account_folded ON public.account USING btree (folded);
CREATE INDEX api_key_account_id_created_id ON public.api_key USING btree (account_id, created, id);
CREATE UNIQUE INDEX api_key_token_hash ON public.api_key USING btree (token_hash);
CREATE INDEX audit_event_action_id ON public.audit_event USING btree (action, id);
CREATE INDEX audit_event_actor_folded_id ON public.audit_event USING btree (actor_folded, id);
CREATE INDEX audit_event_time ON public.audit_event USING btree ("time");
CREATE INDEX failed_login_at ON public.failed_login USING btree (at);
CREATE INDEX reply_created ON public.reply USING btree (created);
CREATE UNIQUE INDEX schema_migration_name ON public.schema_migration USING btree (name);
CREATE INDEX session_account_id ON public.session USING btree (account_id);
CREATE INDEX session_expires ON public.session USING btree (expires);
CREATE UNIQUE INDEX session_token_hash ON public.session USING btree (token_hash);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id) ON DELETE CASCADE;
