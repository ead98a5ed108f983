"""A DAG: submit the night, wait until its manifest says that it has finished, tell where the report is.

Both files go into the folder of the DAGs. The sensor looks at the manifest and at nothing else: so it also sees a night that
somebody has made by hand, and does not believe a submitter that has ended well without one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.exceptions import AirflowFailException
from airflow.models.dag import DAG
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.sensors.python import PythonSensor
from airflow.timetables.interval import CronDataIntervalTimetable
from textmill_manifest import current_report, state_of

CONF = "/etc/textmill/nightly.toml"
OUTPUT = "/mnt/textmill/out"
ADDRESS = "http://textmill-head-svc:8265"
ZONE = "UTC"


def is_finished(date: str) -> bool:
    """For the sensor."""
    state = state_of(OUTPUT, date)
    if state == "failed":
        raise AirflowFailException(f"the night of {date} has failed; see docs/when-a-night-fails.md")
    return state == "finished"


def tell(date: str) -> str:
    """Where the report is, for whoever comes after."""
    return current_report(OUTPUT, date)


with DAG(
    dag_id="textmill_nightly",
    # The interval of a run is the day that has just ended: its begin, `ds`, is the logical date.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone=ZONE),
    start_date=datetime(2026, 11, 1, tzinfo=UTC),
    # Nights that were missed are caught up by the next one.
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    tags=["textmill"],
) as dag:
    submit = BashOperator(
        task_id="submit",
        # Codes 2 and 4 are not to be tried again; the sensor tells of them by the manifest.
        bash_command=f"textmill submit {CONF} --address {ADDRESS} --date {{{{ ds }}}} || [ $? != 3 ]",
        execution_timeout=timedelta(hours=8),
    )
    wait = PythonSensor(
        task_id="manifest",
        python_callable=is_finished,
        op_args=["{{ ds }}"],
        mode="reschedule",
        poke_interval=60,
        timeout=8 * 3600,
        trigger_rule="all_done",
    )
    report = PythonOperator(task_id="report", python_callable=tell, op_args=["{{ ds }}"])
    submit >> wait >> report
