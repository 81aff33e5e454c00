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
CREATE TABLE public.change (
    number bigint NOT NULL,
    kind smallint NOT NULL,
    subject bigint NOT NULL,
    writer bigint NOT NULL,
    "time" bigint NOT NULL
);
CREATE SEQUENCE public.change_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.change_number_seq OWNED BY public.change.number;
CREATE TABLE public.content (
    number bigint NOT NULL,
    sha256 bytea NOT NULL,
    size_bytes bigint NOT NULL,
    format text NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    perceptual_hash bigint NOT NULL,
    band_0 integer NOT NULL,
    band_1 integer NOT NULL,
    band_2 integer NOT NULL,
    band_3 integer NOT NULL
);
CREATE SEQUENCE public.content_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.content_number_seq OWNED BY public.content.number;
CREATE TABLE public.embedding (
    content_id bigint NOT NULL,
    model_id bigint NOT NULL,
    vector bytea NOT NULL
);
CREATE TABLE public.fact (
    name text NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.failed_login (
    bucket text NOT NULL,
    level double precision NOT NULL,
    at bigint NOT NULL
);
CREATE TABLE public.image (
    number bigint NOT NULL,
    id text NOT NULL,
    account_id text NOT NULL,
    source_sha256 bytea NOT NULL,
    content_id bigint NOT NULL,
    visibility text NOT NULL,
    created bigint NOT NULL,
    updated bigint NOT NULL,
    captured bigint,
    model_id bigint NOT NULL,
    author text NOT NULL,
    file_name text NOT NULL
);
CREATE SEQUENCE public.image_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.image_number_seq OWNED BY public.image.number;
CREATE TABLE public.image_tag (
    image_id bigint NOT NULL,
    tag_id bigint NOT NULL,
    state smallint NOT NULL,
    source smallint NOT NULL,
    score double precision,
    model_id bigint,
    "position" smallint
);
CREATE TABLE public.model (
    number bigint NOT NULL,
    name text NOT NULL
);
CREATE SEQUENCE public.model_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.model_number_seq OWNED BY public.model.number;
CREATE TABLE public.operation (
    id text NOT NULL,
    state text NOT NULL,
    account_id text NOT NULL,
    username text NOT NULL,
    created bigint NOT NULL,
    updated bigint NOT NULL,
    ended bigint,
    image_filter text NOT NULL,
    filter_text bytea NOT NULL,
    model_version text NOT NULL,
    validate_only boolean NOT NULL,
    total bigint NOT NULL,
    last bigint NOT NULL,
    cursor bigint NOT NULL,
    done bigint NOT NULL,
    failed bigint NOT NULL,
    cancelling boolean NOT NULL,
    error_reason text NOT NULL,
    error_text text NOT NULL,
    changes text NOT NULL,
    failures text NOT NULL,
    holder text NOT NULL,
    lease_until bigint
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
CREATE TABLE public.tag (
    number bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    alias_of bigint
);
CREATE SEQUENCE public.tag_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.tag_number_seq OWNED BY public.tag.number;
CREATE TABLE public.tag_parent (
    tag_id bigint NOT NULL,
    parent_id bigint NOT NULL
);
CREATE TABLE public.usage (
    account_id text NOT NULL,
    photos bigint NOT NULL,
    size_bytes bigint NOT NULL
);
ALTER TABLE ONLY public.audit_event ALTER COLUMN id SET DEFAULT nextval('public.audit_event_id_seq'::regclass);
ALTER TABLE ONLY public.change ALTER COLUMN number SET DEFAULT nextval('public.change_number_seq'::regclass);
ALTER TABLE ONLY public.content ALTER COLUMN number SET DEFAULT nextval('public.content_number_seq'::regclass);
ALTER TABLE ONLY public.image ALTER COLUMN number SET DEFAULT nextval('public.image_number_seq'::regclass);
ALTER TABLE ONLY public.model ALTER COLUMN number SET DEFAULT nextval('public.model_number_seq'::regclass);
ALTER TABLE ONLY public.schema_migration ALTER COLUMN id SET DEFAULT nextval('public.schema_migration_id_seq'::regclass);
ALTER TABLE ONLY public.tag ALTER COLUMN number SET DEFAULT nextval('public.tag_number_seq'::regclass);
INSERT INTO public.account VALUES ('00000000000000000000000000000001', 'Ada', 'ada', 'admin', false, '$2b$12$Ada', 1772368245678901, 1772371845678901, 1772375445678901);
INSERT INTO public.account VALUES ('00000000000000000000000000000002', 'bob@example.org', 'bob@example.org', 'user', true, '$2b$12$bob@example.org', 1772368245678901, 1772368245678901, NULL);
INSERT INTO public.account VALUES ('00000000000000000000000000000003', 'Ωmega-Straße', 'ωmega-strasse', 'user', false, '$2b$12$Ωmega-Straße', 1772371845678901, 1772371845678901, NULL);
INSERT INTO public.api_key VALUES ('33333333333333333333333333333333', '00000000000000000000000000000001', 'nightly import', 'twk_Ab12Cd34', '\x404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f', 'admin search tagging:read tagging:write', 1772368245678901, 1772454645678901, 1772371845678901, 1772375445678901);
INSERT INTO public.api_key VALUES ('44444444444444444444444444444444', '00000000000000000000000000000003', 'Schlüssel 🔑', 'twk_Ef56Gh78', '\x606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f', 'search', 1772371845678901, NULL, NULL, NULL);
INSERT INTO public.audit_event VALUES (1, 1772368245678901, '', '', 'local', '', 'user.create', 'Ada', '{"role": "ROLE_ADMIN"}');
INSERT INTO public.audit_event VALUES (2, 1772371845678901, 'Ada', 'ada', 'session', '192.0.2.7', 'key.create', 'twk_Ab12Cd34', '{"name": "a \"\u0431\" \u0000"}');
INSERT INTO public.audit_event VALUES (3, 1772375445678901, '', '', '', '2001:db8::7', 'login.failed', 'no�body', '{}');
INSERT INTO public.change VALUES (1, 2, 0, 758, 1772361045678901);
INSERT INTO public.change VALUES (2, 0, 1, 760, 1772368245678901);
INSERT INTO public.change VALUES (3, 0, 2, 760, 1772368245678901);
INSERT INTO public.change VALUES (4, 0, 3, 760, 1772368245678901);
INSERT INTO public.change VALUES (5, 1, 1, 760, 1772368245678901);
INSERT INTO public.content VALUES (1, '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', 12345, 'JPEG', 4000, 3000, -1, 65535, 65535, 65535, 65535);
INSERT INTO public.content VALUES (3, '\x202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f', 1099511627776, 'PNG', 1, 16384, 0, 0, 0, 0, 0);
INSERT INTO public.embedding VALUES (1, 1, '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.fact VALUES ('pepper check', 'a value');
INSERT INTO public.fact VALUES ('empty', '');
INSERT INTO public.failed_login VALUES ('account ada', 2.5, 1772368245678901);
INSERT INTO public.failed_login VALUES ('peer 192.0.2.7', 0.30000000000000004, 1772371845678901);
INSERT INTO public.image VALUES (1, '55555555555555555555555555555555', '00000000000000000000000000000001', '\x404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f', 1, 'private', 1772368245678901, 1772371845678901, 1768768245678901, 1, 'Ünal 🦜', '../a\b.jpg');
INSERT INTO public.image VALUES (2, '66666666666666666666666666666666', '00000000000000000000000000000003', '\x404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f', 1, 'shared', 1772371845678901, 1772371845678901, NULL, 2, '', '');
INSERT INTO public.image VALUES (3, '77777777777777777777777777777777', '00000000000000000000000000000003', '\x606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f', 3, 'private', 1772371845678901, 1772371845678901, NULL, 2, '', '');
INSERT INTO public.image_tag VALUES (1, 2, 0, 0, NULL, NULL, 0);
INSERT INTO public.image_tag VALUES (1, 7, 1, 1, 0.30000000000000004, 1, NULL);
INSERT INTO public.image_tag VALUES (1, 5, 2, 2, 0.9, 2, NULL);
INSERT INTO public.image_tag VALUES (2, 8, 1, 3, NULL, NULL, NULL);
INSERT INTO public.model VALUES (1, 'tagger@2026.11');
INSERT INTO public.model VALUES (2, 'other@1');
INSERT INTO public.operation VALUES ('88888888888888888888888888888888', 'failed', '00000000000000000000000000000001', 'Ada', 1772368245678901, 1772371845678901, 1772371845678901, '{"ids": ["55555555555555555555555555555555"], "source_sha256s": ["0000000000000000000000000000000000000000000000000000000000000000"], "owner_id": null, "created_from": 1772368245678901, "created_before": null, "model_version": "", "except_model_version": "", "untagged": false, "tag": "\u043c\u043e\u0440e", "visible_to": null}', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', 'tagger@2026.11', true, 10, 3, 2, 1, 1, true, 'MODEL_UNAVAILABLE', 'no answer 🦜', '{"sea": [1, 2, 3]}', '[["66666666666666666666666666666666", "INTERNAL", "no"]]', '', NULL);
INSERT INTO public.operation VALUES ('99999999999999999999999999999999', 'pending', '00000000000000000000000000000001', 'Ada', 1772371845678901, 1772371845678901, NULL, '{"ids": null, "source_sha256s": null, "owner_id": null, "created_from": null, "created_before": null, "model_version": "", "except_model_version": "", "untagged": false, "tag": "", "visible_to": null}', '\x', 'other@1', false, 3, 3, 0, 0, 0, false, '', '', '{}', '[]', '', NULL);
INSERT INTO public.reply VALUES ('\x000102030405060708090a0b0c0d0e0f', '\x636f6e74656e74', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', 1772368245678901);
INSERT INTO public.schema_migration VALUES (1, '0001_accounts', '2026-03-01 12:30:45.678901');
INSERT INTO public.schema_migration VALUES (2, '0002_photos', '2026-03-01 12:30:45.678901');
INSERT INTO public.schema_migration VALUES (3, '0003_changes', '2026-03-01 12:30:45.678901');
INSERT INTO public.session VALUES ('11111111111111111111111111111111', '00000000000000000000000000000001', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', 1772368245678901, 1772371845678901, 1772411445678901);
INSERT INTO public.session VALUES ('22222222222222222222222222222222', '00000000000000000000000000000003', '\x202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f', 1772368245678901, 1772368245678901, 1772411445678901);
INSERT INTO public.tag VALUES (2, 'sea', NULL);
INSERT INTO public.tag VALUES (3, 'water', NULL);
INSERT INTO public.tag VALUES (1, 'ocean', 2);
INSERT INTO public.tag VALUES (4, 'dachshund', NULL);
INSERT INTO public.tag VALUES (5, 'dog', NULL);
INSERT INTO public.tag VALUES (6, 'sausage dog', 4);
INSERT INTO public.tag VALUES (7, 'plant_life', NULL);
INSERT INTO public.tag VALUES (8, 'морe', NULL);
INSERT INTO public.tag_parent VALUES (2, 3);
INSERT INTO public.tag_parent VALUES (4, 5);
INSERT INTO public.usage VALUES ('00000000000000000000000000000001', 1, 12345);
INSERT INTO public.usage VALUES ('00000000000000000000000000000003', 2, 1099511640121);
SELECT pg_catalog.setval('public.audit_event_id_seq', 3, true);
SELECT pg_catalog.setval('public.change_number_seq', 5, true);
SELECT pg_catalog.setval('public.content_number_seq', 3, true);
SELECT pg_catalog.setval('public.image_number_seq', 3, true);
SELECT pg_catalog.setval('public.model_number_seq', 2, true);
SELECT pg_catalog.setval('public.schema_migration_id_seq', 3, true);
SELECT pg_catalog.setval('public.tag_number_seq', 8, true);
ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.audit_event
    ADD CONSTRAINT audit_event_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.change
    ADD CONSTRAINT change_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.content
    ADD CONSTRAINT content_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.embedding
    ADD CONSTRAINT embedding_pkey PRIMARY KEY (content_id, model_id);
ALTER TABLE ONLY public.fact
    ADD CONSTRAINT fact_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.failed_login
    ADD CONSTRAINT failed_login_pkey PRIMARY KEY (bucket);
ALTER TABLE ONLY public.image
    ADD CONSTRAINT image_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.image_tag
    ADD CONSTRAINT image_tag_pkey PRIMARY KEY (image_id, tag_id);
ALTER TABLE ONLY public.model
    ADD CONSTRAINT model_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.operation
    ADD CONSTRAINT operation_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.reply
    ADD CONSTRAINT reply_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.schema_migration
    ADD CONSTRAINT schema_migration_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tag_parent
    ADD CONSTRAINT tag_parent_pkey PRIMARY KEY (tag_id, parent_id);
ALTER TABLE ONLY public.tag
    ADD CONSTRAINT tag_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.usage
    ADD CONSTRAINT usage_pkey PRIMARY KEY (account_id);
CREATE UNIQUE INDEX account_folded ON public.account USING btree (folded);
CREATE INDEX api_key_account_id_created_id ON public.api_key USING btree (account_id, created, id);
CREATE UNIQUE INDEX api_key_token_hash ON public.api_key USING btree (token_hash);
CREATE INDEX audit_event_action_id ON public.audit_event USING btree (action, id);
CREATE INDEX audit_event_actor_folded_id ON public.audit_event USING btree (actor_folded, id);
CREATE INDEX audit_event_time ON public.audit_event USING btree ("time");
CREATE INDEX change_writer ON public.change USING btree (writer);
CREATE INDEX content_band_0_perceptual_hash ON public.content USING btree (band_0, perceptual_hash);
CREATE INDEX content_band_1_perceptual_hash ON public.content USING btree (band_1, perceptual_hash);
CREATE INDEX content_band_2_perceptual_hash ON public.content USING btree (band_2, perceptual_hash);
CREATE INDEX content_band_3_perceptual_hash ON public.content USING btree (band_3, perceptual_hash);
CREATE INDEX content_perceptual_hash ON public.content USING btree (perceptual_hash);
CREATE UNIQUE INDEX content_sha256 ON public.content USING btree (sha256);
CREATE INDEX failed_login_at ON public.failed_login USING btree (at);
CREATE INDEX image_account_id_number ON public.image USING btree (account_id, number);
CREATE INDEX image_content_id ON public.image USING btree (content_id);
CREATE INDEX image_created ON public.image USING btree (created);
CREATE UNIQUE INDEX image_id ON public.image USING btree (id);
CREATE INDEX image_model_id_number ON public.image USING btree (model_id, number);
CREATE UNIQUE INDEX image_source_sha256_account_id ON public.image USING btree (source_sha256, account_id);
CREATE INDEX image_tag_tag_id_state_image_id ON public.image_tag USING btree (tag_id, state, image_id);
CREATE INDEX image_visibility_number ON public.image USING btree (visibility, number);
CREATE UNIQUE INDEX model_name ON public.model USING btree (name);
CREATE INDEX operation_created_id ON public.operation USING btree (created, id);
CREATE INDEX operation_state_created_id ON public.operation USING btree (state, created, id);
CREATE INDEX reply_created ON public.reply USING btree (created);
CREATE UNIQUE INDEX schema_migration_name ON public.schema_migration USING btree (name);
CREATE INDEX session_account_id ON public.session USING btree (account_id);
CREATE INDEX session_expires ON public.session USING btree (expires);
CREATE UNIQUE INDEX session_token_hash ON public.session USING btree (token_hash);
CREATE INDEX tag_alias_of ON public.tag USING btree (alias_of);
CREATE UNIQUE INDEX tag_name ON public.tag USING btree (name);
CREATE INDEX tag_parent_parent_id ON public.tag_parent USING btree (parent_id);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.embedding
    ADD CONSTRAINT embedding_content_id_fkey FOREIGN KEY (content_id) REFERENCES public.content(number) ON DELETE CASCADE;
ALTER TABLE ONLY public.embedding
    ADD CONSTRAINT embedding_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.model(number);
ALTER TABLE ONLY public.image
    ADD CONSTRAINT image_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.image
    ADD CONSTRAINT image_content_id_fkey FOREIGN KEY (content_id) REFERENCES public.content(number);
ALTER TABLE ONLY public.image
    ADD CONSTRAINT image_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.model(number);
ALTER TABLE ONLY public.image_tag
    ADD CONSTRAINT image_tag_image_id_fkey FOREIGN KEY (image_id) REFERENCES public.image(number) ON DELETE CASCADE;
ALTER TABLE ONLY public.image_tag
    ADD CONSTRAINT image_tag_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.model(number);
ALTER TABLE ONLY public.image_tag
    ADD CONSTRAINT image_tag_tag_id_fkey FOREIGN KEY (tag_id) REFERENCES public.tag(number);
ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tag
    ADD CONSTRAINT tag_alias_of_fkey FOREIGN KEY (alias_of) REFERENCES public.tag(number);
ALTER TABLE ONLY public.tag_parent
    ADD CONSTRAINT tag_parent_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES public.tag(number);
ALTER TABLE ONLY public.tag_parent
    ADD CONSTRAINT tag_parent_tag_id_fkey FOREIGN KEY (tag_id) REFERENCES public.tag(number);
ALTER TABLE ONLY public.usage
    ADD CONSTRAINT usage_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id) ON DELETE CASCADE;
