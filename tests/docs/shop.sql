-- The database that the pages of the documentation are about.
SET client_min_messages = warning;
CREATE SCHEMA sales;
CREATE TABLE public.users (
    id    bigint PRIMARY KEY,
    name  text NOT NULL,
    email text NOT NULL
);
INSERT INTO public.users SELECT n, 'user ' || n, 'user' || n || '@example.com' FROM generate_series(1, 1000) AS n;
CREATE TABLE sales.orders (
    id      bigint PRIMARY KEY,
    "user"  bigint NOT NULL REFERENCES public.users (id),
    placed  timestamptz NOT NULL,
    total   numeric(10, 2) NOT NULL
);
INSERT INTO sales.orders
SELECT n, 1 + n % 1000, now() - n * interval '1 minute', (n % 100) + 0.99 FROM generate_series(1, 5000) AS n;
CREATE TABLE sales.order_line ("order" bigint NOT NULL REFERENCES sales.orders (id), line integer NOT NULL, article text NOT NULL,
    PRIMARY KEY ("order", line));
INSERT INTO sales.order_line SELECT n, l, 'article ' || n % 50 FROM generate_series(1, 5000) AS n, generate_series(1, 2) AS l;
CREATE TABLE public.session (id uuid PRIMARY KEY, "user" bigint, seen timestamptz);
INSERT INTO public.session SELECT gen_random_uuid(), n, now() FROM generate_series(1, 500) AS n;
CREATE TABLE public.log_web (at timestamptz NOT NULL, line text);
INSERT INTO public.log_web SELECT now(), 'GET /' FROM generate_series(1, 500);
ANALYZE;
