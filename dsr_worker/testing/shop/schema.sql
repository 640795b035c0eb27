-- The shop's tables. Loaded before the rows; constraints.sql follows them.
CREATE TABLE customers (
    id            bigint PRIMARY KEY,
    email         text NOT NULL,
    name          text NOT NULL,
    phone         text,
    birth_on      date,
    password_hash text,
    country       text,               -- ISO 3166-1, with the subdivision where a law asks for it
    notes         text,
    created_at    timestamptz NOT NULL,
    last_seen_at  timestamptz,
    restricted    boolean NOT NULL    -- stored and not used (Art. 18 GDPR): the shop's pages skip it
);
CREATE TABLE addresses (
    id          bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    recipient   text NOT NULL,
    street      text NOT NULL,
    postcode    text NOT NULL,
    city        text NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE TABLE orders (
    id               bigint PRIMARY KEY,
    customer_id      bigint NOT NULL,
    ordered_at       timestamptz NOT NULL,
    status           text NOT NULL,
    total            numeric(12, 2) NOT NULL,
    delivery_name    text,
    delivery_address text,
    note             text
);
CREATE TABLE order_lines (
    id        bigint PRIMARY KEY,
    order_id  bigint NOT NULL,
    sku       text NOT NULL,
    quantity  integer NOT NULL,
    amount    numeric(12, 2) NOT NULL,
    engraving text
);
CREATE TABLE payments (
    id             bigint PRIMARY KEY,
    order_id       bigint NOT NULL,
    paid_at        timestamptz NOT NULL,
    amount         numeric(12, 2) NOT NULL,
    method         text NOT NULL,
    account_holder text,
    account_ref    text
);
CREATE TABLE invoices (
    id         bigint PRIMARY KEY,
    order_id   bigint NOT NULL,
    number     text NOT NULL,
    issued_on  date NOT NULL,
    net        numeric(12, 2) NOT NULL,
    vat        numeric(12, 2) NOT NULL,
    gross      numeric(12, 2) NOT NULL,
    positions  jsonb NOT NULL,
    bill_name  text,
    bill_email text,
    bill_to    text
);
CREATE TABLE returns (
    id          bigint PRIMARY KEY,
    order_id    bigint NOT NULL,
    returned_at timestamptz NOT NULL,
    reason      text
);
CREATE TABLE reviews (
    id           bigint PRIMARY KEY,
    customer_id  bigint NOT NULL,
    sku          text NOT NULL,
    stars        integer NOT NULL,
    display_name text,
    body         text,
    written_at   timestamptz NOT NULL
);
CREATE TABLE carts (
    id          bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    updated_at  timestamptz NOT NULL,
    items       jsonb NOT NULL,
    gift_note   text
);
CREATE TABLE newsletter (             -- by e-mail alone: many never open an account
    id           bigint PRIMARY KEY,
    email        text NOT NULL,
    first_name   text,
    signed_up_at timestamptz NOT NULL
);
CREATE TABLE support_calls (
    id            bigint PRIMARY KEY,
    customer_id   bigint,             -- empty where the caller was not recognised
    caller_phone  text NOT NULL,
    called_at     timestamptz NOT NULL,
    agent_name    text NOT NULL,
    notes         text,
    recording_key text                -- an object of the file store
);
CREATE TABLE sessions (
    id          text PRIMARY KEY,
    customer_id bigint NOT NULL,
    started_at  timestamptz NOT NULL,
    ip          text,
    user_agent  text
);
CREATE TABLE audit_log (              -- no reference to customers: an e-mail inside a document
    id      bigint PRIMARY KEY,
    at      timestamptz NOT NULL,
    event   text NOT NULL,
    payload jsonb NOT NULL
);
CREATE TABLE loyalty (                -- from another product: the customer's number as text
    card_no     text PRIMARY KEY,
    member_no   text NOT NULL,
    member_name text,
    points      integer NOT NULL,
    joined_at   timestamptz NOT NULL
);
