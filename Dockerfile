# One image for all services: the checkout, as `pip install -e .` has it, with the packages of the lock and no others.
FROM python:3.12.12-slim-bookworm AS packages
WORKDIR /home/perpmart/app
COPY requirements.lock ./
RUN python -m venv /home/perpmart/venv \
    && /home/perpmart/venv/bin/pip install --no-cache-dir --no-compile --require-hashes --no-deps --requirement requirements.lock
COPY . .
RUN /home/perpmart/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --editable .

FROM python:3.12.12-slim-bookworm
RUN useradd --uid 1000 --create-home perpmart \
    && install --directory --owner=perpmart /home/perpmart/state
COPY --from=packages /home/perpmart/venv /home/perpmart/venv
COPY --from=packages /home/perpmart/app /home/perpmart/app
# dbt writes what it has parsed, and its log, where the project is not writable.
ENV PATH=/home/perpmart/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DBT_TARGET_PATH=/tmp/target \
    HOME=/tmp
USER 1000
WORKDIR /home/perpmart/app
ENTRYPOINT ["perpmart"]
CMD ["status"]
