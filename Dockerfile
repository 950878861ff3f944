# The service in production mode. Give SAYSO_PUBLIC_URL (https), a volume for /var/lib/sayso and one on another device for
# /var/lib/sayso-journal; keys are made at first start.
FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements.in requirements.lock ./
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
COPY client client
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation ./client
# One lock serves the service and its checks; the checks' own packages stay out of the image.
RUN sed -e '1,/^# tests and checks/d' -e '/^#/d' requirements.in | xargs /opt/venv/bin/pip uninstall --yes --quiet

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin sayso \
 && install --directory --owner=sayso --group=sayso --mode=0700 /var/lib/sayso /var/lib/sayso-journal
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/sayso
COPY app app
COPY migrations migrations
COPY policies policies
COPY client client
COPY LICENSE README.md ./
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SAYSO_ENVIRONMENT=production SAYSO_DATA_DIR=/var/lib/sayso SAYSO_JOURNAL_DIR=/var/lib/sayso-journal
USER sayso
VOLUME ["/var/lib/sayso", "/var/lib/sayso-journal"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "-m", "app", "serve", "--host", "0.0.0.0", "--port", "8000"]
